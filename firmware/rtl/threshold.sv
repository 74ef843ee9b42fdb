// Scores -> which seeds would fire: a seed fires when the score of its model >= its threshold. No register.
module threshold #(
    parameter int N_SEEDS = 1,         // seeds of the menu
    parameter int N_MODELS = 1,        // models beside each other
    parameter int SCORE_BITS = 1,      // width of an unsigned score
    parameter int THRESHOLD_BITS = 2,  // width of a threshold; wider than the score, so that a seed can be silenced
    // Model of each seed, 32 bits each, seed 0 in the lowest bits; each below N_MODELS.
    parameter logic [N_SEEDS*32-1:0] SEED_MODEL = '0
) (
    input  logic [   N_MODELS*SCORE_BITS-1:0] scores,         // unsigned, model 0 in the lowest bits
    input  logic [N_SEEDS*THRESHOLD_BITS-1:0] cfg_threshold,  // seed 0 in the lowest bits; those of the same clock
    output logic [               N_SEEDS-1:0] fires           // bit s: seed s; same clock as scores
);
  generate
    for (genvar s = 0; s < N_SEEDS; s++) begin : g_seed
      localparam int MODEL = SEED_MODEL[32*s+:32];
      logic [THRESHOLD_BITS-1:0] score;
      assign score = THRESHOLD_BITS'(scores[MODEL*SCORE_BITS+:SCORE_BITS]);
      assign fires[s] = score >= cfg_threshold[s*THRESHOLD_BITS+:THRESHOLD_BITS];
    end
  endgenerate
endmodule
