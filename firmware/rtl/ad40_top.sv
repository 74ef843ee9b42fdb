// The trigger block of a board: lanes in; decisions on an output lane, packets of accepted events on AXI4-Stream,
// settings and counters on AXI4-Lite. links -> ad40_core (algorithm and menu) -> link_out and readout; registers.
// Events come from the last word of their frames with no register between; LATENCY clocks after the edge that samples
// that word, the decision can be sampled on m_l1a. One clock and one reset for everything.
//
// Counters are latched together; at the start of a lumi section those of the menu hold the slots decided before it,
// and those of links and readout what happened up to that clock, which is up to LATENCY clocks later.
module ad40_top #(
    parameter int COUNTER_BITS = 32  // width of every counter; benches shorten it so that counters wrap
) (
    input logic clk,  // clock_mhz of the configuration in ad40/spec/latency.yaml
    // Synchronous, active high, at least one clock: not aligned, events and packets in flight dropped, counters 0,
    // settings as compiled. The BX mask stays.
    input logic rst,

    // Input lanes, one word per lane and clock, lane 0 in the lowest bits. See `links`.
    input logic [ad40_pkg::N_LANES*32-1:0] lane_data,
    input logic [   ad40_pkg::N_LANES-1:0] lane_valid,  // the word is part of a frame
    input logic [   ad40_pkg::N_LANES-1:0] lane_soo,    // first word of the frame of BX 0
    input logic [   ad40_pkg::N_LANES-1:0] lane_sof,    // first word of a frame
    input logic [   ad40_pkg::N_LANES-1:0] lane_error,  // the shell saw a fault in this word

    output logic m_valid,  // a decision stands; once per BX when aligned
    output logic m_l1a,    // with m_valid: accepted
    // Accept from outside; sampled with m_valid for the slot decided L1A_LATENCY_BX slots before. See `readout`.
    input  logic l1a_in,

    // Output lane, one clock after m_valid and on. See `link_out`.
    output logic [31:0] out_data,
    output logic        out_valid,
    output logic        out_soo,
    output logic        out_sof,

    // Packets of accepted events, AXI4-Stream. See `packetiser`.
    output logic [31:0] m_axis_tdata,
    output logic        m_axis_tvalid,
    input  logic        m_axis_tready,
    output logic        m_axis_tlast,

    // AXI4-Lite slave: settings, commands, state, counters, hashes. See `registers`.
    input  logic [11:0] s_axil_awaddr,   // byte address
    input  logic [ 2:0] s_axil_awprot,   // ignored
    input  logic        s_axil_awvalid,
    output logic        s_axil_awready,
    input  logic [31:0] s_axil_wdata,
    input  logic [ 3:0] s_axil_wstrb,
    input  logic        s_axil_wvalid,
    output logic        s_axil_wready,
    output logic [ 1:0] s_axil_bresp,
    output logic        s_axil_bvalid,
    input  logic        s_axil_bready,
    input  logic [11:0] s_axil_araddr,   // byte address
    input  logic [ 2:0] s_axil_arprot,   // ignored
    input  logic        s_axil_arvalid,
    output logic        s_axil_arready,
    output logic [31:0] s_axil_rdata,
    output logic [ 1:0] s_axil_rresp,
    output logic        s_axil_rvalid,
    input  logic        s_axil_rready
);
  localparam int N_LANES = ad40_pkg::N_LANES;
  localparam int N_SEEDS = ad40_pkg::N_SEEDS;

  // Settings and commands, see `registers`
  logic [ad40_pkg::N_LANES-1:0] cfg_lane_enable;
  logic [ad40_pkg::N_SEEDS*ad40_pkg::THRESHOLD_BITS-1:0] cfg_threshold;
  logic [ad40_pkg::N_SEEDS*ad40_pkg::PRESCALE_BITS-1:0] cfg_prescale;
  logic [N_SEEDS-1:0] cfg_mask, cfg_veto, cfg_bx_mask_data;
  logic [ad40_pkg::N_RULES*ad40_pkg::RULE_BITS-1:0] cfg_rule_window;
  logic [ad40_pkg::BX_BITS-1:0] cfg_bx_mask_addr;
  logic [15:0] cfg_busy_level;
  logic [4:0] cfg_lumi_log2;
  logic cfg_update_mode, cfg_l1a_source, cfg_ignore_busy;
  logic update, update_now, snapshot, prescale_rst, counter_rst, bx_mask_we;

  // Event of a BX, with s_valid
  logic s_valid, s_error;
  logic [ad40_pkg::BX_BITS-1:0] s_bx;
  logic [ad40_pkg::ORBIT_BITS-1:0] s_orbit;
  logic [ad40_pkg::WORDS_BITS-1:0] s_words;

  // Decision of a slot, with m_valid
  logic m_error, m_request, m_busy, lumi_start;
  logic [ad40_pkg::BX_BITS-1:0] m_bx;
  logic [ad40_pkg::ORBIT_BITS-1:0] m_orbit;
  logic [ad40_pkg::N_MODELS*ad40_pkg::SCORE_BITS-1:0] m_scores;
  logic [N_SEEDS-1:0] m_seeds_before, m_seeds_after;

  // State
  logic busy;  // the readout takes no more
  logic sts_aligned, sts_pending;
  logic [N_LANES-1:0] sts_lane_aligned;
  logic [ad40_pkg::ORBIT_BITS-1:0] sts_applied_orbit;
  logic [15:0] sts_outstanding, sts_occupancy;

  // Counters as they are counted, and 32 bits each
  logic [COUNTER_BITS-1:0] cnt_slots, cnt_errors, cnt_requests, cnt_l1a, cnt_lost_rules, cnt_lost_busy,
      cnt_dead, cnt_packets, cnt_overflow, cnt_resync;
  logic [N_SEEDS*COUNTER_BITS-1:0] cnt_before, cnt_after, cnt_accepted;
  logic [N_LANES*COUNTER_BITS-1:0] cnt_corrupted, cnt_late, cnt_missing;
  logic [31:0] wide_slots, wide_errors, wide_requests, wide_l1a, wide_lost_rules, wide_lost_busy, wide_dead,
      wide_packets, wide_overflow, wide_resync;
  logic [N_SEEDS*32-1:0] wide_before, wide_after, wide_accepted;
  logic [N_LANES*32-1:0] wide_corrupted, wide_late, wide_missing;
  widen #(
      .N   (10 + 3 * N_SEEDS + 3 * N_LANES),
      .BITS(COUNTER_BITS)
  ) widen_i (
      .narrow({
        cnt_slots, cnt_errors, cnt_requests, cnt_l1a, cnt_lost_rules, cnt_lost_busy, cnt_dead, cnt_packets,
        cnt_overflow, cnt_resync, cnt_before, cnt_after, cnt_accepted, cnt_corrupted, cnt_late, cnt_missing
      }),
      .wide  ({
        wide_slots, wide_errors, wide_requests, wide_l1a, wide_lost_rules, wide_lost_busy, wide_dead,
        wide_packets, wide_overflow, wide_resync, wide_before, wide_after, wide_accepted, wide_corrupted,
        wide_late, wide_missing
      })
  );

  links #(
      .COUNTER_BITS(COUNTER_BITS)
  ) links_i (
      .clk             (clk),
      .rst             (rst),
      .cfg_lane_enable (cfg_lane_enable),
      .lane_data       (lane_data),
      .lane_valid      (lane_valid),
      .lane_soo        (lane_soo),
      .lane_sof        (lane_sof),
      .lane_error      (lane_error),
      .m_valid         (s_valid),
      .m_error         (s_error),
      .m_bx            (s_bx),
      .m_orbit         (s_orbit),
      .m_words         (s_words),
      .sts_aligned     (sts_aligned),
      .sts_lane_aligned(sts_lane_aligned),
      .cnt_corrupted   (cnt_corrupted),
      .cnt_late        (cnt_late),
      .cnt_missing     (cnt_missing),
      .cnt_resync      (cnt_resync)
  );

  ad40_core #(
      .COUNTER_BITS(COUNTER_BITS)
  ) core (
      .clk              (clk),
      .rst              (rst),
      .s_valid          (s_valid),
      .s_error          (s_error),
      .s_bx             (s_bx),
      .s_orbit          (s_orbit),
      .s_words          (s_words),
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
      .bx_mask_addr     (cfg_bx_mask_addr),
      .bx_mask_data     (cfg_bx_mask_data),
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

  readout #(
      .COUNTER_BITS(COUNTER_BITS)
  ) readout_i (
      .clk            (clk),
      .rst            (rst),
      .cfg_l1a_source (cfg_l1a_source),
      .cfg_ignore_busy(cfg_ignore_busy),
      .cfg_busy_level (cfg_busy_level),
      .w_valid        (s_valid),
      .w_words        (s_words),
      .d_valid        (m_valid),
      .d_error        (m_error),
      .d_bx           (m_bx),
      .d_orbit        (m_orbit),
      .d_scores       (m_scores),
      .d_seeds_before (m_seeds_before),
      .d_seeds_after  (m_seeds_after),
      .d_l1a          (m_l1a),
      .l1a_in         (l1a_in),
      .busy           (busy),
      .m_axis_tdata   (m_axis_tdata),
      .m_axis_tvalid  (m_axis_tvalid),
      .m_axis_tready  (m_axis_tready),
      .m_axis_tlast   (m_axis_tlast),
      .sts_outstanding(sts_outstanding),
      .sts_occupancy  (sts_occupancy),
      .cnt_packets    (cnt_packets),
      .cnt_overflow   (cnt_overflow)
  );

  link_out link_out_i (
      .clk           (clk),
      .rst           (rst),
      .s_valid       (m_valid),
      .s_error       (m_error),
      .s_bx          (m_bx),
      .s_scores      (m_scores),
      .s_seeds_before(m_seeds_before),
      .s_seeds_after (m_seeds_after),
      .s_request     (m_request),
      .s_l1a         (m_l1a),
      .out_data      (out_data),
      .out_valid     (out_valid),
      .out_soo       (out_soo),
      .out_sof       (out_sof)
  );

  registers registers_i (
      .clk              (clk),
      .rst              (rst),
      .s_axi_awaddr     (s_axil_awaddr),
      .s_axi_awvalid    (s_axil_awvalid),
      .s_axi_awready    (s_axil_awready),
      .s_axi_wdata      (s_axil_wdata),
      .s_axi_wstrb      (s_axil_wstrb),
      .s_axi_wvalid     (s_axil_wvalid),
      .s_axi_wready     (s_axil_wready),
      .s_axi_bresp      (s_axil_bresp),
      .s_axi_bvalid     (s_axil_bvalid),
      .s_axi_bready     (s_axil_bready),
      .s_axi_araddr     (s_axil_araddr),
      .s_axi_arvalid    (s_axil_arvalid),
      .s_axi_arready    (s_axil_arready),
      .s_axi_rdata      (s_axil_rdata),
      .s_axi_rresp      (s_axil_rresp),
      .s_axi_rvalid     (s_axil_rvalid),
      .s_axi_rready     (s_axil_rready),
      .lumi_start       (lumi_start),
      .sts_aligned      (sts_aligned),
      .sts_lane_aligned (sts_lane_aligned),
      .sts_pending      (sts_pending),
      .sts_applied_orbit(sts_applied_orbit),
      .sts_outstanding  (sts_outstanding),
      .sts_occupancy    (sts_occupancy),
      .cfg_lane_enable  (cfg_lane_enable),
      .cfg_mask         (cfg_mask),
      .cfg_veto         (cfg_veto),
      .cfg_lumi_log2    (cfg_lumi_log2),
      .cfg_update_mode  (cfg_update_mode),
      .cfg_l1a_source   (cfg_l1a_source),
      .cfg_ignore_busy  (cfg_ignore_busy),
      .cfg_busy_level   (cfg_busy_level),
      .cfg_rule_window  (cfg_rule_window),
      .cfg_bx_mask_addr (cfg_bx_mask_addr),
      .cfg_bx_mask_data (cfg_bx_mask_data),
      .cfg_threshold    (cfg_threshold),
      .cfg_prescale     (cfg_prescale),
      .bx_mask_we       (bx_mask_we),
      .update           (update),
      .update_now       (update_now),
      .snapshot         (snapshot),
      .prescale_rst     (prescale_rst),
      .counter_rst      (counter_rst),
      .cnt_slots        (wide_slots),
      .cnt_errors       (wide_errors),
      .cnt_requests     (wide_requests),
      .cnt_l1a          (wide_l1a),
      .cnt_lost_rules   (wide_lost_rules),
      .cnt_lost_busy    (wide_lost_busy),
      .cnt_dead         (wide_dead),
      .cnt_packets      (wide_packets),
      .cnt_overflow     (wide_overflow),
      .cnt_resync       (wide_resync),
      .cnt_before       (wide_before),
      .cnt_after        (wide_after),
      .cnt_accepted     (wide_accepted),
      .cnt_corrupted    (wide_corrupted),
      .cnt_late         (wide_late),
      .cnt_missing      (wide_missing)
  );

  // Protection bits mean nothing here; m_busy is counted in the menu, snapshot acts in the registers.
  logic unused;
  assign unused = &{1'b0, s_axil_awprot, s_axil_arprot, m_busy, snapshot};
endmodule
