// The k-th word in is the k-th word out, for every k, every word and every sequence of offers and readiness: nothing
// is lost, doubled or exchanged. And the handshake of the output: valid stays and data stay until ready.
//
// A word is marked when it is taken in, at an arbitrary moment, and the words before it are counted as they leave.
// The moment is one at which it goes to the address that `memory` watches; that address is arbitrary too.
module fifo_properties #(
    parameter int WIDTH = 32,
    parameter int DEPTH = 16
) (
    input logic                     clk,
    input logic                     rst,
    input logic                     s_valid,
    input logic                     s_ready,
    input logic [WIDTH-1:0]         s_data,
    input logic                     m_valid,
    input logic                     m_ready,
    input logic [WIDTH-1:0]         m_data,
    input logic [$clog2(DEPTH):0]   count,
    input logic [$clog2(DEPTH):0]   write_pointer,
    input logic [$clog2(DEPTH):0]   read_pointer,
    input logic [$clog2(DEPTH)-1:0] witness,  // an address of the memory
    input logic [WIDTH-1:0]         stored    // the word there
);
  localparam int A = $clog2(DEPTH);

  logic started = 1'b0;
  logic taken, left;
  assign taken = s_valid && s_ready;
  assign left  = m_valid && m_ready;

  (* anyseq *) logic mark;
  logic inside;  // the marked word is held
  logic [WIDTH-1:0] word;  // what it was
  logic [A:0] ahead;  // words that leave before it
  logic [15:0] held;  // words taken less words that left: counted apart from RTL, far wider than DEPTH

  logic [A:0] waiting, place;  // words in the memory; where the marked word is
  assign waiting = write_pointer - read_pointer;
  assign place = read_pointer + ahead - (A + 1)'(m_valid);

  always_ff @(posedge clk) begin
    started <= 1'b1;
    if (rst) begin
      inside <= 1'b0;
      held   <= '0;
    end else begin
      held <= held + 16'(taken) - 16'(left);
      if (!inside && mark && taken && write_pointer[A-1:0] == witness) begin
        inside <= 1'b1;
        word   <= s_data;
        ahead  <= count - (A + 1)'(left);
      end else if (inside && left) begin
        inside <= ahead != 0;
        ahead  <= ahead - 1'b1;
      end
    end
    if (!started) assume (rst);

    if (started) begin
      // the property
      in_order : assert (!(inside && m_valid && ahead == 0) || m_data == word);
      counted : assert (held == 16'(count) && count <= (A + 1)'(DEPTH));
      never_over : assert (s_ready == (count != (A + 1)'(DEPTH)));
      never_from_nothing : assert (!m_valid || count != 0);
      if ($past(!rst && m_valid && !m_ready)) held_valid : assert (m_valid && $stable(m_data));
      if ($past(!rst && count != 0 && !m_valid)) comes_out : assert (m_valid);
      // what makes it inductive
      levels : assert (waiting <= (A + 1)'(DEPTH) && count == waiting + (A + 1)'(m_valid));
      still_ahead : assert (!inside || ahead < count);
      in_memory : assert (!inside || (m_valid && ahead == 0) || (place[A-1:0] == witness && stored == word));
      full : cover (count == (A + 1)'(DEPTH) && inside && ahead == (A + 1)'(DEPTH - 1));
      leaves : cover (inside && left && ahead == 0 && count != 1);
    end
  end
endmodule

bind fifo fifo_properties #(.WIDTH(WIDTH), .DEPTH(DEPTH)) properties (
    .*,
    .witness(memory_i.properties.witness /* [$clog2(DEPTH)-1:0] */),
    .stored(memory_i.properties.stored /* [WIDTH-1:0] */)
);
