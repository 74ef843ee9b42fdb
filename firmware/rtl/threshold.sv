// Score -> seed bits before prescale: a seed fires when score >= its threshold.
module threshold #(
    parameter int N_SEEDS = 1,         // seeds of the menu
    parameter int SCORE_BITS = 1,      // width of the unsigned score
    parameter int THRESHOLD_BITS = 2,  // width of a threshold; wider than the score, so that a seed can be silenced
    parameter int STAGES = 1           // clocks from score to seeds; 0: the same clock
) (
    input  logic                              clk,
    input  logic [            SCORE_BITS-1:0] score,
    // Thresholds, seed 0 in the lowest bits. Quasi-static: compared with the score of the same clock.
    input  logic [N_SEEDS*THRESHOLD_BITS-1:0] cfg_threshold,
    output logic [            SCORE_BITS-1:0] score_q,        // score, STAGES clocks later
    output logic [               N_SEEDS-1:0] seeds           // bit s: seed s fired; with score_q
);
  logic [N_SEEDS-1:0] fires;

  generate
    for (genvar s = 0; s < N_SEEDS; s++) begin : g_seed
      assign fires[s] = THRESHOLD_BITS'(score) >= cfg_threshold[s*THRESHOLD_BITS+:THRESHOLD_BITS];
    end
  endgenerate

  delay #(
      .WIDTH (SCORE_BITS + N_SEEDS),
      .STAGES(STAGES)
  ) registers (
      .clk(clk),
      .d  ({fires, score}),
      .q  ({seeds, score_q})
  );
endmodule
