// Algorithm and menu: the object words of one event in, decision out. Fixed latency of ad40_pkg::LATENCY clocks, one
// event per clock (II = 1). An event is accepted at each rising edge of clk with s_valid high and rst low; LATENCY
// edges later m_valid is high with its scores, seeds and decision. Gaps in s_valid come out as gaps in m_valid.
// Settings, strobes, counters and outputs are those of `menu`; their ports are described there.
module ad40_core #(
    parameter int COUNTER_BITS = 32  // width of every counter
) (
    input logic clk,  // clock_mhz of the configuration in ad40/spec/latency.yaml
    // Synchronous, active high, at least one clock: events in flight are dropped; the menu as it was compiled.
    input logic rst,

    input logic                            s_valid,  // an event, at this clock
    input logic                            s_error,  // its words cannot be trusted; with s_valid, as all below
    input logic [   ad40_pkg::BX_BITS-1:0] s_bx,     // below ORBIT_BX
    input logic [ad40_pkg::ORBIT_BITS-1:0] s_orbit,
    input logic [ad40_pkg::WORDS_BITS-1:0] s_words,  // all object words of the event, see `unpack`
    input logic                            busy,     // LATENCY - 1 clocks after the s_valid of the slot it stops

    input logic [ad40_pkg::N_SEEDS*ad40_pkg::THRESHOLD_BITS-1:0] cfg_threshold,
    input logic [ ad40_pkg::N_SEEDS*ad40_pkg::PRESCALE_BITS-1:0] cfg_prescale,
    input logic [                         ad40_pkg::N_SEEDS-1:0] cfg_mask,
    input logic [                         ad40_pkg::N_SEEDS-1:0] cfg_veto,
    input logic [     ad40_pkg::N_RULES*ad40_pkg::RULE_BITS-1:0] cfg_rule_window,
    input logic [                                           4:0] cfg_lumi_log2,
    input logic                                                  cfg_update_mode,

    input logic update,
    input logic update_now,
    input logic prescale_rst,
    input logic counter_rst,

    input logic                         bx_mask_we,
    input logic [ad40_pkg::BX_BITS-1:0] bx_mask_addr,
    input logic [ad40_pkg::N_SEEDS-1:0] bx_mask_data,

    output logic                                               m_valid,  // s_valid, LATENCY clocks later
    output logic                                               m_error,
    output logic [                      ad40_pkg::BX_BITS-1:0] m_bx,
    output logic [                   ad40_pkg::ORBIT_BITS-1:0] m_orbit,
    // Unsigned, model 0 in the lowest bits; LSB of model k = 2^-SCORE_FRACTION[32*k+:32].
    output logic [ad40_pkg::N_MODELS*ad40_pkg::SCORE_BITS-1:0] m_scores,
    output logic [                      ad40_pkg::N_SEEDS-1:0] m_seeds_before,
    output logic [                      ad40_pkg::N_SEEDS-1:0] m_seeds_after,
    output logic                                               m_request,
    output logic                                               m_l1a,
    output logic                                               m_busy,
    output logic                                               lumi_start,

    output logic                            sts_pending,
    output logic [ad40_pkg::ORBIT_BITS-1:0] sts_applied_orbit,

    output logic [ad40_pkg::N_SEEDS*COUNTER_BITS-1:0] cnt_before,
    output logic [ad40_pkg::N_SEEDS*COUNTER_BITS-1:0] cnt_after,
    output logic [ad40_pkg::N_SEEDS*COUNTER_BITS-1:0] cnt_accepted,
    output logic [                  COUNTER_BITS-1:0] cnt_slots,
    output logic [                  COUNTER_BITS-1:0] cnt_errors,
    output logic [                  COUNTER_BITS-1:0] cnt_requests,
    output logic [                  COUNTER_BITS-1:0] cnt_l1a,
    output logic [                  COUNTER_BITS-1:0] cnt_lost_rules,
    output logic [                  COUNTER_BITS-1:0] cnt_lost_busy,
    output logic [                  COUNTER_BITS-1:0] cnt_dead
);
  // Clocks by which the scores are later than the menu wants its header.
  localparam int HEADER_STAGES = ad40_pkg::ALGORITHM_LATENCY - ad40_pkg::MENU_LEAD;

  logic [ad40_pkg::N_MODELS*ad40_pkg::SCORE_BITS-1:0] scores;
  algorithm algorithm_i (  // generated: ALGORITHM_LATENCY clocks
      .clk   (clk),
      .words (s_words),
      .scores(scores)
  );

  // The header beside it; only valid is reset
  logic header_error;
  logic [ad40_pkg::BX_BITS-1:0] header_bx;
  logic [ad40_pkg::ORBIT_BITS-1:0] header_orbit;
  logic [HEADER_STAGES:0] valid;  // valid[i]: i clocks after s_valid
  assign valid[0] = s_valid;
  generate
    for (genvar i = 1; i <= HEADER_STAGES; i++) begin : g_valid
      logic r;
      always_ff @(posedge clk) r <= valid[i-1] && !rst;
      assign valid[i] = r;
    end
  endgenerate
  delay #(
      .WIDTH (1 + ad40_pkg::BX_BITS + ad40_pkg::ORBIT_BITS),
      .STAGES(HEADER_STAGES)
  ) header (
      .clk(clk),
      .d  ({s_error, s_bx, s_orbit}),
      .q  ({header_error, header_bx, header_orbit})
  );

  menu #(
      .COUNTER_BITS(COUNTER_BITS)
  ) menu_i (
      .clk              (clk),
      .rst              (rst),
      .s_valid          (valid[HEADER_STAGES]),
      .s_error          (header_error),
      .s_bx             (header_bx),
      .s_orbit          (header_orbit),
      .scores           (scores),
      .busy             (busy),
      .cfg_threshold    (cfg_threshold),
      .cfg_prescale     (cfg_prescale),
      .cfg_mask         (cfg_mask),
      .cfg_veto         (cfg_veto),
      .cfg_rule_window  (cfg_rule_window),
      .cfg_lumi_log2    (cfg_lumi_log2),
      .cfg_update_mode  (cfg_update_mode),
      .update           (update),
      .update_now       (update_now),
      .prescale_rst     (prescale_rst),
      .counter_rst      (counter_rst),
      .bx_mask_we       (bx_mask_we),
      .bx_mask_addr     (bx_mask_addr),
      .bx_mask_data     (bx_mask_data),
      .m_valid          (m_valid),
      .m_error          (m_error),
      .m_bx             (m_bx),
      .m_orbit          (m_orbit),
      .m_scores         (m_scores),
      .m_seeds_before   (m_seeds_before),
      .m_seeds_after    (m_seeds_after),
      .m_request        (m_request),
      .m_l1a            (m_l1a),
      .m_busy           (m_busy),
      .lumi_start       (lumi_start),
      .sts_pending      (sts_pending),
      .sts_applied_orbit(sts_applied_orbit),
      .cnt_before       (cnt_before),
      .cnt_after        (cnt_after),
      .cnt_accepted     (cnt_accepted),
      .cnt_slots        (cnt_slots),
      .cnt_errors       (cnt_errors),
      .cnt_requests     (cnt_requests),
      .cnt_l1a          (cnt_l1a),
      .cnt_lost_rules   (cnt_lost_rules),
      .cnt_lost_busy    (cnt_lost_busy),
      .cnt_dead         (cnt_dead)
  );
endmodule
