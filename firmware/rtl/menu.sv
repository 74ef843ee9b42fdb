// The menu: scores of a slot -> seeds -> prescales -> OR and veto -> trigger rules -> L1A, with its rate counters. A
// slot is one decision; one at every clock is allowed.
//
// The header of a slot comes ad40_pkg::MENU_LEAD = 3 clocks before its scores, so that everything that hangs on BX
// and orbit (BX mask, new settings, start of the prescales) stands ready in registers. Clocks of a slot:
//   0  header on the ports                       3  scores on the ports: thresholds, prescales
//   1  row of the BX mask; are settings due      4  OR, veto, rules, busy
//   2  settings taken over; prescales restarted  5  decision on the ports, counted at the edge that ends it
//
// Settings: cfg_* are shadow values, and the live ones are copies taken at a slot that `update` asked for. With rst
// the live values become those of the menu in ad40_pkg.
module menu #(
    parameter int COUNTER_BITS = 32  // width of every counter; they wrap
) (
    input logic clk,
    // Synchronous, active high: slots in flight are dropped, counters and prescales start at 0, settings of the menu.
    input logic rst,

    input logic                                          s_valid,  // header of a slot
    input logic                                          s_error,  // its words cannot be trusted: no seed fires
    input logic [                  ad40_pkg::BX_BITS-1:0] s_bx,     // below ORBIT_BX
    input logic [               ad40_pkg::ORBIT_BITS-1:0] s_orbit,
    // Scores of that slot, model 0 in the lowest bits, MENU_LEAD clocks after the header.
    input logic [ad40_pkg::N_MODELS*ad40_pkg::SCORE_BITS-1:0] scores,
    // The readout takes no more: sampled with the decision, one clock after the scores (clock 4).
    input logic busy,

    // Thresholds in LSBs of the score, seed 0 in the lowest bits.
    input logic [ad40_pkg::N_SEEDS*ad40_pkg::THRESHOLD_BITS-1:0] cfg_threshold,
    // Prescale factors x 100, seed 0 in the lowest bits; 0: off.
    input logic [ ad40_pkg::N_SEEDS*ad40_pkg::PRESCALE_BITS-1:0] cfg_prescale,
    input logic [                         ad40_pkg::N_SEEDS-1:0] cfg_mask,  // 1: the seed enters the OR
    input logic [                         ad40_pkg::N_SEEDS-1:0] cfg_veto,  // 1: the seed after prescale kills the slot
    // Windows of the trigger rules in slots, rule 0 (one accept) in the lowest bits; 0: off.
    input logic [     ad40_pkg::N_RULES*ad40_pkg::RULE_BITS-1:0] cfg_rule_window,
    // The next two are used as they stand, two clocks later.
    input logic [                                           4:0] cfg_lumi_log2,    // orbits of a lumi section, log 2
    input logic                                                  cfg_update_mode,  // 0: at a lumi section, 1: at an orbit

    // Strobes, one clock each.
    input logic update,       // take the settings over at the next start of a lumi section or orbit
    input logic update_now,   // take them over now, for slots whose header comes in this clock or came in the one before
    input logic prescale_rst, // prescales start again with the next slot of BX 0
    input logic counter_rst,  // all counters start again

    // BX mask memory: 1 lets the seed fire in that BX. Written at once, but not while rst is high; not shadowed and not
    // reset.
    input logic                         bx_mask_we,
    input logic [ad40_pkg::BX_BITS-1:0] bx_mask_addr,  // below ORBIT_BX
    input logic [ad40_pkg::N_SEEDS-1:0] bx_mask_data,

    output logic                                          m_valid,         // s_valid, 5 clocks later
    output logic                                          m_error,         // s_error of that slot; with m_valid
    output logic [                  ad40_pkg::BX_BITS-1:0] m_bx,            // with m_valid, as all below
    output logic [               ad40_pkg::ORBIT_BITS-1:0] m_orbit,
    output logic [ad40_pkg::N_MODELS*ad40_pkg::SCORE_BITS-1:0] m_scores,
    output logic [                 ad40_pkg::N_SEEDS-1:0] m_seeds_before,  // seed bits before prescale
    output logic [                 ad40_pkg::N_SEEDS-1:0] m_seeds_after,   // seed bits after prescale
    output logic                                          m_request,       // OR and veto, before rules and busy
    output logic                                          m_l1a,           // the decision
    output logic                                          m_busy,          // busy as this decision saw it
    output logic                                          lumi_start,      // first slot of a lumi section; with m_valid

    output logic                            sts_pending,        // an update waits for its slot
    output logic [ad40_pkg::ORBIT_BITS-1:0] sts_applied_orbit,  // orbit of the last slot when settings were taken over

    // Counters, seed 0 in the lowest bits. With lumi_start they hold the slots before it and not yet this one.
    output logic [ad40_pkg::N_SEEDS*COUNTER_BITS-1:0] cnt_before,      // seed fired
    output logic [ad40_pkg::N_SEEDS*COUNTER_BITS-1:0] cnt_after,       // and passed its prescale
    output logic [ad40_pkg::N_SEEDS*COUNTER_BITS-1:0] cnt_accepted,    // and was in the OR of an L1A
    output logic [                  COUNTER_BITS-1:0] cnt_slots,
    output logic [                  COUNTER_BITS-1:0] cnt_errors,      // slots with s_error
    output logic [                  COUNTER_BITS-1:0] cnt_requests,
    output logic [                  COUNTER_BITS-1:0] cnt_l1a,
    output logic [                  COUNTER_BITS-1:0] cnt_lost_rules,  // requests that the rules rejected
    output logic [                  COUNTER_BITS-1:0] cnt_lost_busy,   // requests that only busy rejected
    output logic [                  COUNTER_BITS-1:0] cnt_dead         // slots with busy
);
  localparam int N_SEEDS = ad40_pkg::N_SEEDS;
  localparam int THRESHOLD_BITS = ad40_pkg::THRESHOLD_BITS;
  localparam int PRESCALE_BITS = ad40_pkg::PRESCALE_BITS;
  localparam int SCORES_BITS = ad40_pkg::N_MODELS * ad40_pkg::SCORE_BITS;
  localparam int BX_BITS = ad40_pkg::BX_BITS;
  localparam int ORBIT_BITS = ad40_pkg::ORBIT_BITS;
  localparam int RULES_BITS = ad40_pkg::N_RULES * ad40_pkg::RULE_BITS;

  // Clocks 1 to 5 of the header: valid[i] in clock i + 1.
  logic [4:0] valid;
  logic error_1, error_2, error_3, error_4;
  always_ff @(posedge clk) begin
    if (rst) valid <= '0;
    else valid <= {valid[3:0], s_valid};
    error_1 <= s_error;
    error_2 <= error_1;
    error_3 <= error_2;
    error_4 <= error_3;
    m_error <= error_4;
  end
  logic [ORBIT_BITS-1:0] orbit_1;
  always_ff @(posedge clk) if (s_valid) orbit_1 <= s_orbit;  // stays that of the last slot
  delay #(
      .WIDTH (ORBIT_BITS),
      .STAGES(4)
  ) orbit_delay (
      .clk(clk),
      .d  (orbit_1),
      .q  (m_orbit)
  );
  delay #(
      .WIDTH (BX_BITS),
      .STAGES(5)
  ) bx_delay (
      .clk(clk),
      .d  (s_bx),
      .q  (m_bx)
  );

  // Clock 1: does an orbit or a lumi section start with this slot, and are new settings due
  logic [ORBIT_BITS-1:0] lumi_mask;  // bits of the orbit number that are 0 in the first orbit of a lumi section
  logic orbit_start, lumi_orbit;
  logic prescale_pending, apply, restart;
  logic applied, restarted;  // clock 2: settings are taken over with its end; prescales start again
  always_ff @(posedge clk) begin
    lumi_mask   <= ~({ORBIT_BITS{1'b1}} << cfg_lumi_log2);
    orbit_start <= s_bx == '0;
    lumi_orbit  <= (s_orbit & lumi_mask) == '0;
  end
  assign restart = valid[0] && orbit_start && prescale_pending;
  assign apply = update_now || (valid[0] && orbit_start && sts_pending && (cfg_update_mode || lumi_orbit));

  always_ff @(posedge clk) begin
    if (rst) begin
      sts_pending      <= 1'b0;
      prescale_pending <= 1'b0;
      applied          <= 1'b0;
      restarted        <= 1'b1;
    end else begin
      sts_pending      <= update || (sts_pending && !apply);
      prescale_pending <= prescale_rst || (prescale_pending && !restart);
      applied          <= apply;
      restarted        <= apply || restart;
    end
    if (rst) sts_applied_orbit <= '0;
    else if (apply) sts_applied_orbit <= orbit_1;
  end

  // Live settings. Factors one clock before the rest: the prescale keeps what it needs of them in a register.
  logic [N_SEEDS*PRESCALE_BITS-1:0] factor;
  logic [N_SEEDS*THRESHOLD_BITS-1:0] threshold;
  logic [N_SEEDS-1:0] mask, veto;
  logic [RULES_BITS-1:0] window;
  always_ff @(posedge clk) begin
    if (rst) factor <= ad40_pkg::DEFAULT_PRESCALE;
    else if (apply) factor <= cfg_prescale;
    if (rst) begin
      threshold <= ad40_pkg::DEFAULT_THRESHOLD;
      mask      <= ad40_pkg::DEFAULT_MASK;
      veto      <= ad40_pkg::DEFAULT_VETO;
      window    <= ad40_pkg::DEFAULT_RULE_WINDOW;
    end else if (applied) begin
      threshold <= cfg_threshold;
      mask      <= cfg_mask;
      veto      <= cfg_veto;
      window    <= cfg_rule_window;
    end
  end

  // Clock 2: row of the BX mask -> clock 3: seeds that may fire
  logic [N_SEEDS-1:0] row, armed;
  bx_mask #(
      .N_SEEDS (N_SEEDS),
      .ORBIT_BX(ad40_pkg::ORBIT_BX),
      .BX_BITS (BX_BITS),
      .N_RUNS  (ad40_pkg::N_BX_RUNS),
      .FIRST   (ad40_pkg::BX_RUN_FIRST),
      .LAST    (ad40_pkg::BX_RUN_LAST),
      .ROW     (ad40_pkg::BX_RUN_ROW)
  ) bx_mask_i (
      .clk (clk),
      .we  (bx_mask_we && !rst),
      .addr(bx_mask_addr),
      .data(bx_mask_data),
      .bx  (s_bx),
      .row (row)
  );
  always_ff @(posedge clk) armed <= (valid[1] && !error_2 && !rst) ? row : '0;

  // Clock 3: thresholds and prescales
  logic [N_SEEDS-1:0] fires, fired, passes;
  threshold #(
      .N_SEEDS       (N_SEEDS),
      .N_MODELS      (ad40_pkg::N_MODELS),
      .SCORE_BITS    (ad40_pkg::SCORE_BITS),
      .THRESHOLD_BITS(THRESHOLD_BITS),
      .SEED_MODEL    (ad40_pkg::SEED_MODEL)
  ) threshold_i (
      .scores       (scores),
      .cfg_threshold(threshold),
      .fires        (fires)
  );
  assign fired = fires & armed;
  generate
    for (genvar s = 0; s < N_SEEDS; s++) begin : g_prescale
      prescale #(
          .FACTOR_BITS(PRESCALE_BITS),
          .UNIT       (ad40_pkg::PRESCALE_UNIT)
      ) prescale_i (
          .clk       (clk),
          .rst       (restarted),
          .fire      (fired[s]),
          .cfg_factor(factor[s*PRESCALE_BITS+:PRESCALE_BITS]),
          .pass      (passes[s])
      );
    end
  endgenerate

  // Clock 4: the mask and the veto are already in the registers, so that the decision is two ORs and the rules
  logic [N_SEEDS-1:0] before_4, after_4, in_or_4, in_veto_4, in_or_5;
  always_ff @(posedge clk) begin
    before_4  <= fired;
    after_4   <= passes;
    in_or_4   <= passes & mask;
    in_veto_4 <= passes & veto;
  end
  logic request, allow, l1a;
  assign request = |in_or_4 && !(|in_veto_4);
  assign l1a = request && allow && !busy;
  rules #(
      .N_RULES    (ad40_pkg::N_RULES),
      .WINDOW_BITS(ad40_pkg::RULE_BITS)
  ) rules_i (
      .clk       (clk),
      .rst       (rst),
      .slot      (valid[3]),
      .accept    (l1a),
      .cfg_window(window),
      .allow     (allow)
  );

  // Clock 5
  logic lost_rules, lost_busy;
  always_ff @(posedge clk) begin
    m_seeds_before <= before_4;
    m_seeds_after  <= after_4;
    in_or_5        <= in_or_4;
    m_request      <= request;
    m_l1a          <= l1a;
    m_busy         <= busy;
    lost_rules     <= request && !allow;
    lost_busy      <= request && allow && busy;
  end
  delay #(
      .WIDTH (SCORES_BITS),
      .STAGES(ad40_pkg::DECISION_STAGES)
  ) score_delay (
      .clk(clk),
      .d  (scores),
      .q  (m_scores)
  );
  logic lumi_start_5;
  delay #(
      .WIDTH (1),
      .STAGES(4)
  ) lumi_delay (
      .clk(clk),
      .d  (orbit_start && lumi_orbit),
      .q  (lumi_start_5)
  );
  assign m_valid = valid[4];
  assign lumi_start = m_valid && lumi_start_5;

  // Rates
  logic clear, counted;  // counted: a slot that rst does not drop
  assign clear = rst || counter_rst;
  assign counted = m_valid && !rst;
  generate
    for (genvar s = 0; s < N_SEEDS; s++) begin : g_rate
      counter #(
          .BITS(COUNTER_BITS)
      ) before_i (
          .clk  (clk),
          .rst  (clear),
          .inc  (counted && m_seeds_before[s]),
          .count(cnt_before[s*COUNTER_BITS+:COUNTER_BITS])
      );
      counter #(
          .BITS(COUNTER_BITS)
      ) after_i (
          .clk  (clk),
          .rst  (clear),
          .inc  (counted && m_seeds_after[s]),
          .count(cnt_after[s*COUNTER_BITS+:COUNTER_BITS])
      );
      counter #(
          .BITS(COUNTER_BITS)
      ) accepted_i (
          .clk  (clk),
          .rst  (clear),
          .inc  (counted && in_or_5[s] && m_l1a),
          .count(cnt_accepted[s*COUNTER_BITS+:COUNTER_BITS])
      );
    end
  endgenerate
  // slots, errors, requests, l1a, lost_rules, lost_busy, dead
  localparam int N_TOTALS = 7;
  logic [N_TOTALS-1:0] totals;
  logic [N_TOTALS*COUNTER_BITS-1:0] counts;
  assign totals = {m_busy, lost_busy, lost_rules, m_l1a, m_request, m_error, 1'b1};
  assign {cnt_dead, cnt_lost_busy, cnt_lost_rules, cnt_l1a, cnt_requests, cnt_errors, cnt_slots} = counts;
  generate
    for (genvar i = 0; i < N_TOTALS; i++) begin : g_total
      counter #(
          .BITS(COUNTER_BITS)
      ) total_i (
          .clk  (clk),
          .rst  (clear),
          .inc  (counted && totals[i]),
          .count(counts[i*COUNTER_BITS+:COUNTER_BITS])
      );
    end
  endgenerate
endmodule
