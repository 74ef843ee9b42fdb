// The trigger: object words of one event in, decision out. Fixed latency ad40_pkg::LATENCY clocks, one event per
// clock (II = 1). An event is accepted at each rising edge of clk with s_valid high and rst low; LATENCY edges later
// m_valid is high with its score, seeds and decision. Gaps in s_valid come out as gaps in m_valid.
module ad40_top (
    input logic clk,  // ad40/spec/latency.yaml: clock_mhz
    // Synchronous, active high, at least one clock: events in flight are dropped, prescale counters start at 0.
    input logic rst,

    // Thresholds in LSBs of the score, seed 0 in the lowest bits. Quasi-static.
    input logic [ad40_pkg::N_SEEDS*ad40_pkg::THRESHOLD_BITS-1:0] cfg_threshold,
    // Prescale factors x 100, seed 0 in the lowest bits; 0 switches a seed off. Quasi-static:
    // set two clocks before the next decision.
    input logic [  ad40_pkg::N_SEEDS*ad40_pkg::PRESCALE_BITS-1:0] cfg_prescale,
    // One clock high: prescale counters start at 0 (synchronised start of a run). Acts on the decision stage: a
    // decision registered at the same edge is not counted.
    input logic                                                   prescale_rst,

    input logic                            s_valid,  // s_words hold an event
    input logic [ad40_pkg::WORDS_BITS-1:0] s_words,  // all object words of one event, see `unpack`

    output logic                            m_valid,         // s_valid, LATENCY clocks later
    output logic [ad40_pkg::SCORE_BITS-1:0] m_score,         // unsigned, LSB = 2^-SCORE_FRACTION; with m_valid
    output logic [   ad40_pkg::N_SEEDS-1:0] m_seeds_before,  // seed bits before prescale; with m_valid
    output logic [   ad40_pkg::N_SEEDS-1:0] m_seeds_after,   // seed bits after prescale; with m_valid
    output logic                            m_l1a,           // OR of m_seeds_after; with m_valid

    output logic [31:0] id_spec,    // constant: first 32 bits of the hash of objects.yaml
    output logic [31:0] id_network  // constant: first 32 bits of the hash of the network
);
  localparam int N_SEEDS = ad40_pkg::N_SEEDS;
  localparam int SCORE_BITS = ad40_pkg::SCORE_BITS;
  localparam int LATENCY = ad40_pkg::LATENCY;
  localparam int DECISION_STAGES = ad40_pkg::DECISION_STAGES;

  assign id_spec = ad40_pkg::SPEC_ID;
  assign id_network = ad40_pkg::NETWORK_ID;

  // valid[i]: an event has passed i + 1 of the LATENCY registers
  logic [LATENCY-1:0] valid;
  always_ff @(posedge clk) begin
    if (rst) valid <= '0;
    else valid <= {valid[LATENCY-2:0], s_valid};
  end

  logic [ad40_pkg::N_INPUTS*ad40_pkg::CODE_BITS-1:0] codes;
  logic [ad40_pkg::N_OBJECTS-1:0] present, present_q;
  unpack unpack_i (
      .words  (s_words),
      .codes  (codes),
      .present(present)
  );

  logic [ad40_pkg::N_INPUTS*ad40_pkg::X_BITS-1:0] x;
  normalise #(
      .STAGES(ad40_pkg::NORMALISE_STAGES)
  ) normalise_i (
      .clk      (clk),
      .codes    (codes),
      .present  (present),
      .x        (x),
      .present_q(present_q)
  );

  logic [SCORE_BITS-1:0] score;
  network network_i (  // generated: the compiled network and its score, NETWORK_STAGES clocks
      .clk    (clk),
      .x      (x),
      .present(present_q),
      .score  (score)
  );

  logic [SCORE_BITS-1:0] score_q;
  logic [N_SEEDS-1:0] seeds;
  threshold #(
      .N_SEEDS       (N_SEEDS),
      .SCORE_BITS    (SCORE_BITS),
      .THRESHOLD_BITS(ad40_pkg::THRESHOLD_BITS),
      .STAGES        (ad40_pkg::THRESHOLD_STAGES)
  ) threshold_i (
      .clk          (clk),
      .score        (score),
      .cfg_threshold(cfg_threshold),
      .score_q      (score_q),
      .seeds        (seeds)
  );

  logic [N_SEEDS-1:0] passes;
  logic decide;  // an event stands before the first decision register
  assign decide = valid[LATENCY-DECISION_STAGES-1];
  generate
    for (genvar s = 0; s < N_SEEDS; s++) begin : g_prescale
      prescale #(
          .FACTOR_BITS(ad40_pkg::PRESCALE_BITS),
          .UNIT       (ad40_pkg::PRESCALE_UNIT)
      ) prescale_i (
          .clk       (clk),
          .rst       (rst || prescale_rst),
          .fire      (decide && seeds[s]),
          .cfg_factor(cfg_prescale[s*ad40_pkg::PRESCALE_BITS+:ad40_pkg::PRESCALE_BITS]),
          .pass      (passes[s])
      );
    end
  endgenerate

  delay #(
      .WIDTH (SCORE_BITS + 2 * N_SEEDS + 1),
      .STAGES(DECISION_STAGES)
  ) decision (
      .clk(clk),
      .d  ({|passes, passes, seeds, score_q}),
      .q  ({m_l1a, m_seeds_after, m_seeds_before, m_score})
  );
  assign m_valid = valid[LATENCY-1];
endmodule
