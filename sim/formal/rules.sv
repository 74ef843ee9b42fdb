// At most i + 1 accepts in any `window` consecutive slots, for every rule i, and no refusal without need.
//
// A slot is marked at an arbitrary moment. From then on the slots and the accepts up to now are counted, that of the
// marked slot included. Since the moment is arbitrary, what holds for the marked slot holds for every window of slots.
module rules_properties #(
    parameter int N_RULES = 4,
    parameter int WINDOW_BITS = 12
) (
    input logic                           clk,
    input logic                           rst,
    input logic                           slot,
    input logic                           accept,
    input logic [N_RULES*WINDOW_BITS-1:0] cfg_window,
    input logic                           allow,
    input logic [N_RULES*WINDOW_BITS-1:0] ages
);
  localparam int AGE_BITS = WINDOW_BITS + 1;
  localparam logic [AGE_BITS-1:0] FAR = {1'b0, {WINDOW_BITS{1'b1}}};
  localparam int COUNT_BITS = $clog2(N_RULES + 2);

  logic started = 1'b0;
  (* anyseq *) logic mark;
  logic marked;
  logic first;  // the marked slot was an accept
  logic [AGE_BITS-1:0] slots;  // from the marked one to the last, both included; up to FAR + 1
  logic [COUNT_BITS-1:0] accepts;  // in them; up to N_RULES + 1
  logic [COUNT_BITS-1:0] total;  // since rst; up to N_RULES
  logic [N_RULES*WINDOW_BITS-1:0] window_q;

  always_ff @(posedge clk) begin
    started <= 1'b1;
    if (rst) begin
      marked <= 1'b0;
      total  <= '0;
    end else if (slot) begin
      if (accept && total != COUNT_BITS'(N_RULES)) total <= total + 1'b1;
      if (!marked && mark) begin
        marked  <= 1'b1;
        first   <= accept;
        slots   <= AGE_BITS'(1);
        accepts <= COUNT_BITS'(accept);
      end else if (marked) begin
        if (slots != FAR + 1'b1) slots <= slots + 1'b1;
        if (accept && accepts != COUNT_BITS'(N_RULES + 1)) accepts <= accepts + 1'b1;
      end
    end
    window_q <= cfg_window;
  end

  always_comb begin
    if (!started) assume (rst);
    assume (!accept || (slot && allow));
    if (started) assume (cfg_window == window_q);  // the windows stand still
    if (started) begin
      mark_counts : assert (!marked || (slots != 0 && slots <= FAR + 1'b1 && accepts <= slots && (!first || accepts != 0)));
      ranges : assert (total <= COUNT_BITS'(N_RULES) && (!marked || accepts <= COUNT_BITS'(N_RULES + 1)));
      busy_rule : cover (!allow && marked && accepts == COUNT_BITS'(N_RULES));
    end
  end

  logic [N_RULES-1:0] reached;  // rule i says no
  generate
    for (genvar i = 0; i < N_RULES; i++) begin : g_rule
      logic [AGE_BITS-1:0] age, window;
      assign age = {1'b0, ages[i*WINDOW_BITS+:WINDOW_BITS]};
      assign window = {1'b0, cfg_window[i*WINDOW_BITS+:WINDOW_BITS]};
      assign reached[i] = age < window;
      always_comb begin
        if (started && marked) begin
          // the property
          assert (slots > window || accepts <= COUNT_BITS'(i + 1));
          // accept i + 1 accepts ago: in the marked slot or after it exactly when so many were counted
          assert (accepts < COUNT_BITS'(i + 1) || age <= slots);
          assert (accepts >= COUNT_BITS'(i + 1) || age > slots || age == FAR);
          assert (!(first && accepts == COUNT_BITS'(i + 1)) || age == (slots > FAR ? FAR : slots));
        end
        if (started) begin
          assert (total > COUNT_BITS'(i) || age == FAR);
          assert (age != 0);
          if (i > 0) assert (age > {1'b0, ages[(i > 0 ? i - 1 : 0)*WINDOW_BITS+:WINDOW_BITS]} || age == FAR);
          cover (reached[i] && !allow);
        end
      end
    end
  endgenerate
  // so the register that says yes or no says what the ages say
  always_comb if (started) refuses_only_with_need : assert (allow == !(|reached));
endmodule

bind rules rules_properties #(.N_RULES(N_RULES), .WINDOW_BITS(WINDOW_BITS)) properties (.*);
