// Monotone: two copies of the thresholds, the second with scores at least as high and thresholds at most as tight. What
// fires in the first fires in the second. For the seeds of one model this says that a tighter seed never fires
// without the looser one, and that a higher score never takes a firing away. And exact: score >= threshold.
module threshold_pair;
  localparam int N_SEEDS = ad40_pkg::N_SEEDS;
  localparam int N_MODELS = ad40_pkg::N_MODELS;
  localparam int SCORE_BITS = ad40_pkg::SCORE_BITS;
  localparam int THRESHOLD_BITS = ad40_pkg::THRESHOLD_BITS;
  localparam logic [N_SEEDS*32-1:0] SEED_MODEL = ad40_pkg::SEED_MODEL;

  (* anyseq *) logic clk;
  (* anyseq *) logic [N_MODELS*SCORE_BITS-1:0] low, high;
  (* anyseq *) logic [N_SEEDS*THRESHOLD_BITS-1:0] tight, loose;
  logic [N_SEEDS-1:0] fires_low, fires_high;

  threshold #(
      .N_SEEDS(N_SEEDS), .N_MODELS(N_MODELS), .SCORE_BITS(SCORE_BITS), .THRESHOLD_BITS(THRESHOLD_BITS),
      .SEED_MODEL(SEED_MODEL)
  ) low_i (
      .scores(low), .cfg_threshold(tight), .fires(fires_low)
  );
  threshold #(
      .N_SEEDS(N_SEEDS), .N_MODELS(N_MODELS), .SCORE_BITS(SCORE_BITS), .THRESHOLD_BITS(THRESHOLD_BITS),
      .SEED_MODEL(SEED_MODEL)
  ) high_i (
      .scores(high), .cfg_threshold(loose), .fires(fires_high)
  );

  generate
    for (genvar m = 0; m < N_MODELS; m++) begin : g_model
      always_comb assume (low[m*SCORE_BITS+:SCORE_BITS] <= high[m*SCORE_BITS+:SCORE_BITS]);
    end
    for (genvar s = 0; s < N_SEEDS; s++) begin : g_seed
      localparam int MODEL = SEED_MODEL[32*s+:32];
      logic [31:0] score, threshold;
      assign score = 32'(low[MODEL*SCORE_BITS+:SCORE_BITS]);
      assign threshold = 32'(tight[s*THRESHOLD_BITS+:THRESHOLD_BITS]);
      always_comb begin
        assume (tight[s*THRESHOLD_BITS+:THRESHOLD_BITS] >= loose[s*THRESHOLD_BITS+:THRESHOLD_BITS]);
        assert (!fires_low[s] || fires_high[s]);
        assert (fires_low[s] == (score >= threshold));
        // two seeds of one model in one menu: the tighter never without the looser
        for (int t = 0; t < N_SEEDS; t++) begin
          if (SEED_MODEL[32*t+:32] == SEED_MODEL[32*s+:32]) begin
            assert (!(fires_low[s] && !fires_low[t]) ||
                             tight[t*THRESHOLD_BITS+:THRESHOLD_BITS] > tight[s*THRESHOLD_BITS+:THRESHOLD_BITS]);
          end
        end
        cover (fires_high[s] && !fires_low[s]);
        cover (fires_high[s] && fires_low[s]);
      end
    end
  endgenerate
endmodule
