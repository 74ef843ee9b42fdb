// Bench of ad40_core: a player in front of the device under test and a recorder behind it, one event per clock. Files
// are streamed, so that a run may be as long as one likes, and nothing here wakes Python at a clock. cocotb resets,
// sets the cfg_* pins, starts and waits for `done`. Simulation only; signals marked public are handled from Python.
module ad40_bench #(
    parameter int COUNTER_BITS = 8  // width of the counters: short, so that they wrap
) (
    input logic clk /*verilator public_flat_rw*/,

    input logic [31:0] scenario /*verilator public_flat_rw*/,  // number in the names of its files
    input logic [31:0] preamble /*verilator public_flat_rw*/,  // lines of the file before line 0
    input logic        play /*verilator public_flat_rw*/,      // high: open the files and play; low: close them
    input logic        taps /*verilator public_flat_rw*/,      // high: record what is inside the algorithm, too
    output logic       done /*verilator public_flat_rw*/,      // all lines played and the pipeline drained

    // high: reset and update by these pins, and not by the lines
    input logic        direct /*verilator public_flat_rw*/,
    input logic        direct_rst /*verilator public_flat_rw*/,
    input logic        direct_update_now /*verilator public_flat_rw*/,

    input logic [ad40_pkg::N_SEEDS*ad40_pkg::THRESHOLD_BITS-1:0] cfg_threshold /*verilator public_flat_rw*/,
    input logic [ ad40_pkg::N_SEEDS*ad40_pkg::PRESCALE_BITS-1:0] cfg_prescale /*verilator public_flat_rw*/,
    input logic [                         ad40_pkg::N_SEEDS-1:0] cfg_mask /*verilator public_flat_rw*/,
    input logic [                         ad40_pkg::N_SEEDS-1:0] cfg_veto /*verilator public_flat_rw*/,
    input logic [     ad40_pkg::N_RULES*ad40_pkg::RULE_BITS-1:0] cfg_rule_window /*verilator public_flat_rw*/,
    input logic [                                           4:0] cfg_lumi_log2 /*verilator public_flat_rw*/,
    input logic                                                  cfg_update_mode /*verilator public_flat_rw*/,

    output logic [ad40_pkg::N_SEEDS*COUNTER_BITS-1:0] cnt_before /*verilator public_flat_rw*/,
    output logic [ad40_pkg::N_SEEDS*COUNTER_BITS-1:0] cnt_after /*verilator public_flat_rw*/,
    output logic [ad40_pkg::N_SEEDS*COUNTER_BITS-1:0] cnt_accepted /*verilator public_flat_rw*/,
    output logic [                  COUNTER_BITS-1:0] cnt_slots /*verilator public_flat_rw*/,
    output logic [                  COUNTER_BITS-1:0] cnt_errors /*verilator public_flat_rw*/,
    output logic [                  COUNTER_BITS-1:0] cnt_requests /*verilator public_flat_rw*/,
    output logic [                  COUNTER_BITS-1:0] cnt_l1a /*verilator public_flat_rw*/,
    output logic [                  COUNTER_BITS-1:0] cnt_lost_rules /*verilator public_flat_rw*/,
    output logic [                  COUNTER_BITS-1:0] cnt_lost_busy /*verilator public_flat_rw*/,
    output logic [                  COUNTER_BITS-1:0] cnt_dead /*verilator public_flat_rw*/
);
  localparam int WORDS_BITS = ad40_pkg::WORDS_BITS;
  localparam int BX_BITS = ad40_pkg::BX_BITS;
  localparam int N_SEEDS = ad40_pkg::N_SEEDS;
  localparam int N_MODELS = ad40_pkg::N_MODELS;
  localparam int LINE_BITS = WORDS_BITS + 32 + 16 + 16;  // see sim/vectors.py
  localparam int DRAIN = ad40_pkg::LATENCY + 8;

  string folder;
  int stimulus, decisions, codes, inputs;
  initial void'($value$plusargs("folder=%s", folder));
  always @(posedge play) begin
    stimulus  = $fopen($sformatf("%s/run%0d.bin", folder, scenario), "rb");
    decisions = $fopen($sformatf("%s/run%0d.hex", folder, scenario), "w");
    codes     = $fopen($sformatf("%s/codes%0d.hex", folder, scenario), "w");
    inputs    = $fopen($sformatf("%s/inputs%0d.hex", folder, scenario), "w");
  end
  always @(negedge play) begin
    $fclose(stimulus);
    $fclose(decisions);
    $fclose(codes);
    $fclose(inputs);
  end

  // Player: line i is on the pins while `line` is i, and the device samples it at the edge that ends that time
  logic [LINE_BITS-1:0] pins, next_pins;
  logic [31:0] line, idle;
  logic playing, ended;
  always_ff @(posedge clk) begin
    pins <= '0;
    if (!play) begin
      line <= -preamble - 1;
      playing <= 1'b0;
      ended <= 1'b0;
      idle <= '0;
    end else begin
      line <= line + 1;
      playing <= 1'b1;
      if (!ended) begin
        if ($fread(next_pins, stimulus) == LINE_BITS / 8) pins <= next_pins;
        else ended <= 1'b1;
      end else idle <= idle + 1;
    end
    done <= playing && idle > DRAIN;
  end

  logic rst, s_valid, s_error, busy, update, update_now, prescale_rst, counter_rst, bx_mask_we;
  logic p_rst, p_update_now;
  logic [WORDS_BITS-1:0] s_words;
  logic [31:0] s_orbit;
  logic [15:0] wide_bx;
  logic [BX_BITS-1:0] s_bx;
  logic [6:0] unused;  // the rest, and `last` of the stream
  assign {unused, bx_mask_we, counter_rst, prescale_rst, p_update_now, update, p_rst, busy, s_error, s_valid,
          wide_bx, s_orbit, s_words} = pins;
  assign s_bx = wide_bx[BX_BITS-1:0];
  assign rst = direct ? direct_rst : p_rst;
  assign update_now = direct ? direct_update_now : p_update_now;

  logic m_valid, m_error, m_request, m_l1a, m_busy, lumi_start, sts_pending;
  logic [BX_BITS-1:0] m_bx;
  logic [31:0] m_orbit, sts_applied_orbit;
  logic [N_MODELS*ad40_pkg::SCORE_BITS-1:0] m_scores;
  logic [N_SEEDS-1:0] m_seeds_before, m_seeds_after;

  ad40_core #(
      .COUNTER_BITS(COUNTER_BITS)
  ) dut (
      .bx_mask_addr(s_bx),
      .bx_mask_data(s_words[N_SEEDS-1:0]),
      .*
  );

  // Recorder: what a register behind the device samples at each edge
  logic [N_MODELS*32-1:0] wide_scores;  // model 0 in the highest bits, first in the record
  always_comb
    for (int k = 0; k < N_MODELS; k++)
      wide_scores[(N_MODELS-1-k)*32+:32] = 32'(m_scores[k*ad40_pkg::SCORE_BITS+:ad40_pkg::SCORE_BITS]);
  always_ff @(posedge clk) begin
    if (play && playing && m_valid)
      $fwrite(decisions, "%h\n", {line, m_orbit, 16'(m_bx), 12'b0, m_busy, m_error, m_request, m_l1a,
              32'(m_seeds_before), 32'(m_seeds_after), wide_scores});
    if (play && playing && taps && s_valid) $fwrite(codes, "%h\n", dut.algorithm_i.codes);
    if (play && playing && taps && dut.valid[ad40_pkg::NORMALISE_STAGES]) $fwrite(inputs, "%h\n", dut.algorithm_i.x_0);
  end
endmodule
