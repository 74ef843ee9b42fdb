// AXI4-Stream variant of the trigger block: one event per clock in, decisions in the same order out; settings and
// counters on AXI4-Lite as in ad40_top. ad40_core has a fixed latency and is never stopped: an event is taken only when
// a place for its decision is free in the output FIFO (credits), so nothing is lost when m_axis is held, and in steady
// state one event passes per clock as long as m_axis is taken at every clock.
//
// Each event is one slot. Slots are numbered by BX and orbit, from 0 with rst: after BX ORBIT_BX - 1 or an event with
// tlast the next event is BX 0 of the next orbit. An orbit that tlast ends early counts as resync. There is no readout:
// never busy, and its registers and those of the lanes read 0, aligned 1.
module ad40_stream #(
    // Decisions that the output FIFO holds: a power of two, at least LATENCY + 4 for one event per clock.
    parameter int FIFO_DEPTH = 1 << $clog2(ad40_pkg::LATENCY + 4),
    parameter int COUNTER_BITS = 32  // width of every counter
) (
    input logic clk,  // clock_mhz of the configuration in ad40/spec/latency.yaml
    // Synchronous, active high, at least one clock: events and decisions in flight are dropped, BX, orbit and counters
    // 0, settings as compiled. The BX mask stays.
    input logic rst,

    // Events. tready comes from registers only and does not wait for tvalid.
    input  logic [ad40_pkg::WORDS_BITS-1:0] s_axis_tdata,   // all object words, object 0 in the lowest bits
    input  logic                            s_axis_tuser,   // the words cannot be trusted: no seed fires
    input  logic                            s_axis_tlast,   // last event of its orbit
    input  logic                            s_axis_tvalid,
    output logic                            s_axis_tready,  // low after rst and while no place is free

    // Decisions: words of 32 bits, word 0 in the lowest bits. All outputs from registers; tvalid never drops and
    // nothing changes before tready.
    //   0  L1A (bit 31), link error (30), request (29), BX (lowest bits)     1  orbit
    //   2  seed bits before prescale    3  seed bits after prescale    4..  score of each model
    output logic [(4+ad40_pkg::N_MODELS)*32-1:0] m_axis_tdata,
    output logic                                 m_axis_tlast,  // s_axis_tlast of that event
    output logic                                 m_axis_tvalid,
    input  logic                                 m_axis_tready,

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
  localparam int N_MODELS = ad40_pkg::N_MODELS;
  localparam int SCORE_BITS = ad40_pkg::SCORE_BITS;
  localparam int BX_BITS = ad40_pkg::BX_BITS;
  localparam int COUNT_BITS = $clog2(FIFO_DEPTH) + 1;

  // Settings and commands, see `registers`
  logic [N_LANES-1:0] cfg_lane_enable;
  logic [ad40_pkg::N_SEEDS*ad40_pkg::THRESHOLD_BITS-1:0] cfg_threshold;
  logic [ad40_pkg::N_SEEDS*ad40_pkg::PRESCALE_BITS-1:0] cfg_prescale;
  logic [N_SEEDS-1:0] cfg_mask, cfg_veto, cfg_bx_mask_data;
  logic [ad40_pkg::N_RULES*ad40_pkg::RULE_BITS-1:0] cfg_rule_window;
  logic [ad40_pkg::BX_BITS-1:0] cfg_bx_mask_addr;
  logic [15:0] cfg_busy_level;
  logic [4:0] cfg_lumi_log2;
  logic cfg_update_mode, cfg_l1a_source, cfg_ignore_busy;
  logic update, update_now, snapshot, prescale_rst, counter_rst, bx_mask_we;

  // Event of a slot, with s_valid
  logic s_valid, s_error, s_last;
  logic [BX_BITS-1:0] s_bx;
  logic [ad40_pkg::ORBIT_BITS-1:0] s_orbit;
  logic [ad40_pkg::WORDS_BITS-1:0] s_words;

  // Decision of a slot, with m_valid
  logic m_valid, m_l1a, m_last, m_error, m_request, m_busy, lumi_start;
  logic [ad40_pkg::BX_BITS-1:0] m_bx;
  logic [ad40_pkg::ORBIT_BITS-1:0] m_orbit;
  logic [ad40_pkg::N_MODELS*ad40_pkg::SCORE_BITS-1:0] m_scores;
  logic [N_SEEDS-1:0] m_seeds_before, m_seeds_after;

  logic sts_pending;
  logic [ad40_pkg::ORBIT_BITS-1:0] sts_applied_orbit;

  // Counters as they are counted, and 32 bits each
  logic [COUNTER_BITS-1:0] cnt_slots, cnt_errors, cnt_requests, cnt_l1a, cnt_lost_rules, cnt_lost_busy,
      cnt_dead, cnt_resync;
  logic [N_SEEDS*COUNTER_BITS-1:0] cnt_before, cnt_after, cnt_accepted;
  logic [31:0] wide_slots, wide_errors, wide_requests, wide_l1a, wide_lost_rules, wide_lost_busy, wide_dead,
      wide_resync;
  logic [N_SEEDS*32-1:0] wide_before, wide_after, wide_accepted;
  widen #(
      .N   (8 + 3 * N_SEEDS),
      .BITS(COUNTER_BITS)
  ) widen_i (
      .narrow({
        cnt_slots, cnt_errors, cnt_requests, cnt_l1a, cnt_lost_rules, cnt_lost_busy, cnt_dead, cnt_resync,
        cnt_before, cnt_after, cnt_accepted
      }),
      .wide  ({
        wide_slots, wide_errors, wide_requests, wide_l1a, wide_lost_rules, wide_lost_busy, wide_dead,
        wide_resync, wide_before, wide_after, wide_accepted
      })
  );

  // Input: an event goes straight into the core. Places: events in the core + decisions in the FIFO.
  logic leaves;  // a decision is taken from m_axis
  logic [COUNT_BITS-1:0] places;
  assign s_valid = s_axis_tvalid && s_axis_tready;
  assign s_error = s_axis_tuser;
  assign s_last = s_axis_tlast;
  assign s_words = s_axis_tdata;
  assign leaves = m_axis_tvalid && m_axis_tready;
  always_ff @(posedge clk) begin
    if (rst) begin
      places <= '0;
      s_axis_tready <= 1'b0;
    end else begin
      places <= places + COUNT_BITS'(s_valid) - COUNT_BITS'(leaves);
      s_axis_tready <= places + COUNT_BITS'(s_valid) < COUNT_BITS'(FIFO_DEPTH);
    end
  end

  logic orbit_full;
  assign orbit_full = s_bx == BX_BITS'(ad40_pkg::ORBIT_BX - 1);
  always_ff @(posedge clk) begin
    if (rst) begin
      s_bx <= '0;
      s_orbit <= '0;
    end else if (s_valid) begin
      s_bx <= s_last || orbit_full ? '0 : s_bx + 1'b1;
      if (s_last || orbit_full) s_orbit <= s_orbit + 1'b1;
    end
  end
  counter #(
      .BITS(COUNTER_BITS)
  ) resync_i (
      .clk  (clk),
      .rst  (rst),
      .inc  (s_valid && s_last && !orbit_full && !rst),
      .count(cnt_resync)
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
      .busy             (1'b0),
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
  delay #(
      .WIDTH (1),
      .STAGES(ad40_pkg::LATENCY)
  ) last_delay (
      .clk(clk),
      .d  (s_last),
      .q  (m_last)
  );

  // Output: the FIFO has a place for every decision, so that its s_ready need not be looked at
  logic [N_MODELS*32-1:0] wide_scores;
  widen #(
      .N   (N_MODELS),
      .BITS(SCORE_BITS)
  ) scores_i (
      .narrow(m_scores),
      .wide  (wide_scores)
  );
  logic fifo_ready;
  logic [COUNT_BITS-1:0] fifo_count;
  fifo #(
      .WIDTH(1 + (4 + N_MODELS) * 32),
      .DEPTH(FIFO_DEPTH),
      .STYLE("distributed")
  ) fifo_i (
      .clk    (clk),
      .rst    (rst),
      .s_valid(m_valid),
      .s_ready(fifo_ready),
      .s_data ({
        m_last, wide_scores, 32'(m_seeds_after), 32'(m_seeds_before), 32'(m_orbit), m_l1a, m_error, m_request, 29'(m_bx)
      }),
      .m_valid(m_axis_tvalid),
      .m_ready(m_axis_tready),
      .m_data ({m_axis_tlast, m_axis_tdata}),
      .count  (fifo_count)
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
      .sts_aligned      (1'b1),
      .sts_lane_aligned ({N_LANES{1'b0}}),
      .sts_pending      (sts_pending),
      .sts_applied_orbit(sts_applied_orbit),
      .sts_outstanding  (16'd0),
      .sts_occupancy    (16'd0),
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
      .cnt_packets      (32'd0),
      .cnt_overflow     (32'd0),
      .cnt_resync       (wide_resync),
      .cnt_before       (wide_before),
      .cnt_after        (wide_after),
      .cnt_accepted     (wide_accepted),
      .cnt_corrupted    ({N_LANES{32'd0}}),
      .cnt_late         ({N_LANES{32'd0}}),
      .cnt_missing      ({N_LANES{32'd0}})
  );

  // Settings of links and readout do nothing here.
  logic unused;
  assign unused = &{1'b0, s_axil_awprot, s_axil_arprot, m_busy, snapshot, fifo_ready, fifo_count, cfg_lane_enable,
                    cfg_l1a_source, cfg_ignore_busy, cfg_busy_level};
endmodule
