// First in, first out: one clock, valid/ready on both sides, one word per clock on each. Holds exactly DEPTH words. A
// word taken in at an edge stands on the output two edges later at the earliest. m_valid never drops and m_data never
// changes before m_ready. Nothing passes from m_ready to s_ready in the same clock: a full FIFO takes nothing in even
// while a word leaves.
module fifo #(
    parameter int WIDTH = 32,  // bits of a word
    parameter int DEPTH = 16,  // words; a power of two, at least 2
    parameter STYLE = "block"  // see `memory`
) (
    input  logic                   clk,
    input  logic                   rst,      // synchronous, active high: empty after this edge
    input  logic                   s_valid,  // s_data is offered; taken at an edge with s_ready high
    output logic                   s_ready,  // fewer than DEPTH words are held; from registers only
    input  logic [      WIDTH-1:0] s_data,
    output logic                   m_valid,  // m_data is the oldest word; a register
    input  logic                   m_ready,  // the word leaves at an edge with m_valid high
    output logic [      WIDTH-1:0] m_data,   // with m_valid; a register
    output logic [$clog2(DEPTH):0] count     // words held, that on the output included: 0 to DEPTH
);
  localparam int ADDRESS_BITS = $clog2(DEPTH);
  localparam int COUNT_BITS = ADDRESS_BITS + 1;

  // One bit more than an address: equal pointers mean that the memory is empty, never that it is full.
  logic [ADDRESS_BITS:0] write_pointer, read_pointer;
  logic push, pop, fetch;

  assign s_ready = count != COUNT_BITS'(DEPTH);
  assign push = s_valid && s_ready;
  assign pop = m_valid && m_ready;
  assign fetch = write_pointer != read_pointer && (!m_valid || m_ready);  // memory -> output register

  // invariant: count == write_pointer - read_pointer + m_valid
  always_ff @(posedge clk) begin
    if (rst) begin
      write_pointer <= '0;
      read_pointer <= '0;
      m_valid <= 1'b0;
      count <= '0;
    end else begin
      if (push) write_pointer <= write_pointer + 1'b1;
      if (fetch) read_pointer <= read_pointer + 1'b1;
      m_valid <= fetch || (m_valid && !m_ready);
      if (push && !pop) count <= count + 1'b1;
      else if (pop && !push) count <= count - 1'b1;
    end
  end

  memory #(
      .WIDTH(WIDTH),
      .DEPTH(DEPTH),
      .STYLE(STYLE)
  ) memory_i (
      .clk          (clk),
      .write        (push),
      .write_address(write_pointer[ADDRESS_BITS-1:0]),
      .write_data   (s_data),
      .read         (fetch),
      .read_address (read_pointer[ADDRESS_BITS-1:0]),
      .read_data    (m_data)
  );
endmodule
