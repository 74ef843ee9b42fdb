// Trigger rules: rule i (from 1) allows at most i accepts in any `window` consecutive slots, so a slot may be
// accepted when the i-th last accept is at least `window` slots ago. A slot is one decision: every bunch crossing,
// or every event of a stream. Works with a slot at every clock.
//
// ages[i] = slots since the accept i + 1 accepts ago, as the next slot will see it, saturated. What `allow` will be
// is prepared for the three ways in which this clock can end, so that the accept only selects.
module rules #(
    parameter int N_RULES = 4,      // rules; rule i counts i + 1 accepts
    parameter int WINDOW_BITS = 12  // width of a window
) (
    input  logic                           clk,
    input  logic                           rst,         // synchronous, active high: no accept has been
    input  logic                           slot,        // a slot is decided in this clock
    input  logic                           accept,      // and it is accepted; only with slot and allow
    // Windows in slots, rule 0 in the lowest bits; 0 or 1 less than the rule needs: off. A slot in the clock after
    // a change sees it.
    input  logic [N_RULES*WINDOW_BITS-1:0] cfg_window,
    output logic                           allow        // a register: a slot in this clock may be accepted
);
  localparam logic [WINDOW_BITS-1:0] FAR = '1;  // as far away as any window reaches

  logic [N_RULES*WINDOW_BITS-1:0] ages;
  logic [N_RULES-1:0] if_idle, if_rejected, if_accepted;  // rule i would allow the next slot

  generate
    for (genvar i = 0; i < N_RULES; i++) begin : g_rule
      logic [WINDOW_BITS-1:0] age, newer, window;
      logic [WINDOW_BITS:0] age_next, newer_next;  // one slot later; newer: one accept less ago, 0 for this slot
      assign window = cfg_window[i*WINDOW_BITS+:WINDOW_BITS];
      assign age = ages[i*WINDOW_BITS+:WINDOW_BITS];
      if (i == 0) begin : g_first
        assign newer = '0;
      end else begin : g_older
        assign newer = ages[(i-1)*WINDOW_BITS+:WINDOW_BITS];
      end
      assign age_next = {1'b0, age} + 1'b1;
      assign newer_next = {1'b0, newer} + 1'b1;
      assign if_idle[i] = age >= window;
      assign if_rejected[i] = age_next >= {1'b0, window};
      assign if_accepted[i] = newer_next >= {1'b0, window};

      always_ff @(posedge clk) begin
        if (rst) ages[i*WINDOW_BITS+:WINDOW_BITS] <= FAR;
        else if (slot) begin
          if (accept) ages[i*WINDOW_BITS+:WINDOW_BITS] <= newer == FAR ? FAR : newer_next[WINDOW_BITS-1:0];
          else ages[i*WINDOW_BITS+:WINDOW_BITS] <= age == FAR ? FAR : age_next[WINDOW_BITS-1:0];
        end
      end
    end
  endgenerate

  always_ff @(posedge clk) begin
    if (rst) allow <= 1'b1;
    else if (!slot) allow <= &if_idle;
    else allow <= accept ? &if_accepted : &if_rejected;
  end
endmodule
