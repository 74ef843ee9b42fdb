// Receiver of the links: frames of all lanes -> one event per BX, in the clock of the last word of the frames.
//
// A frame is the CLOCKS_PER_BX words of one lane in one BX: idle words first, then PAYLOAD_WORDS words that carry
// objects. A master counter of words, BX and orbits runs for all lanes. Before the first alignment nothing comes out.
// Flags of a word count only when the word is valid and without error: a broken word says nothing about alignment.
//
// Alignment: the master aligns to the clock in which all enabled lanes (at least one) show such a soo. The first time
// orbit and BX start at 0. Later a common soo at an unexpected clock moves the master there (cnt_resync + 1, orbit + 1,
// BX 0); the BX that it interrupts gives no event and no count. Otherwise the master runs on by itself.
//
// Lanes: a lane is in step after a word 0 of BX 0 with soo and sof, and until a word whose soo or sof is not what the
// master expects: soo in word 0 of BX 0 and nowhere else, sof in every word 0 and nowhere else. A disabled lane is
// never in step, so that an enabled one waits for the next orbit start. Words that do not count do not take a
// lane out of step, nor into it. A frame is
//   corrupted  when a word has error; otherwise
//   late       when the lane is not in step at the last word of the frame (that word's flags included); otherwise
//   missing    when a word is not valid; otherwise good.
// Each bad frame of an enabled lane is counted once, gives m_error, and its objects are absent in m_words. Events are
// never moved: every event carries the BX in which its words arrived.
module links #(
    parameter int N_LANES = ad40_pkg::N_LANES,              // lanes, 32 bits per clock each
    parameter int PAYLOAD_WORDS = ad40_pkg::PAYLOAD_WORDS,  // words of a frame that carry objects: its last ones
    parameter int CLOCKS_PER_BX = ad40_pkg::CLOCKS_PER_BX,  // words of a frame; at least 2 and PAYLOAD_WORDS
    parameter int ORBIT_BX = ad40_pkg::ORBIT_BX,            // BX of an orbit; at least 1, at most 2^BX_BITS
    parameter int EVENT_WORDS = ad40_pkg::EVENT_WORDS,      // 32-bit words of an event
    // Where event word e comes from: entry e (32 bits each, entry 0 in the lowest bits) is its lane and its index
    // among the payload words. spec/links.yaml.
    parameter logic [EVENT_WORDS*32-1:0] WORD_LANE = ad40_pkg::WORD_LANE,
    parameter logic [EVENT_WORDS*32-1:0] WORD_INDEX = ad40_pkg::WORD_INDEX,
    parameter int BX_BITS = ad40_pkg::BX_BITS,              // width of a BX number
    parameter int ORBIT_BITS = ad40_pkg::ORBIT_BITS,        // width of an orbit number; it wraps
    parameter int COUNTER_BITS = 32                         // width of each counter; they wrap
) (
    input logic clk,
    // Synchronous, active high: not aligned, counters 0 after this edge.
    input logic rst,
    input logic [N_LANES-1:0] cfg_lane_enable,  // bit l: lane l takes part; may change at any time

    // One word per lane and clock, lane 0 in the lowest bits.
    input logic [N_LANES*32-1:0] lane_data,
    input logic [   N_LANES-1:0] lane_valid,  // the word is part of a frame; idle words in front included
    input logic [   N_LANES-1:0] lane_soo,    // start of orbit: first word of the frame of BX 0
    input logic [   N_LANES-1:0] lane_sof,    // start of frame: first word of every frame
    input logic [   N_LANES-1:0] lane_error,  // the shell saw a fault (CRC, 8b10b) in this word, valid or not

    // One event per BX, in the clock in which its last words stand on lane_*: no register between.
    output logic                      m_valid,  // once per BX when aligned; at least CLOCKS_PER_BX clocks apart
    output logic                      m_error,  // with m_valid: the frame of an enabled lane is bad
    output logic [       BX_BITS-1:0] m_bx,     // with m_valid: 0 to ORBIT_BX - 1
    output logic [    ORBIT_BITS-1:0] m_orbit,  // with m_valid: 0 for the first orbit after rst
    output logic [EVENT_WORDS*32-1:0] m_words,  // with m_valid: event word 0 in the lowest bits

    output logic                            sts_aligned,       // the master runs
    output logic [             N_LANES-1:0] sts_lane_aligned,  // bit l: lane l is in step
    output logic [N_LANES*COUNTER_BITS-1:0] cnt_corrupted,     // bad frames by class, lane 0 in the lowest bits;
    output logic [N_LANES*COUNTER_BITS-1:0] cnt_late,          // a frame shows one clock after its last word
    output logic [N_LANES*COUNTER_BITS-1:0] cnt_missing,
    output logic [        COUNTER_BITS-1:0] cnt_resync         // alignments after the first
);
  localparam int WORD_BITS = $clog2(CLOCKS_PER_BX);
  localparam logic [WORD_BITS-1:0] LAST_WORD = WORD_BITS'(CLOCKS_PER_BX - 1);
  localparam logic [BX_BITS-1:0] LAST_BX = BX_BITS'(ORBIT_BX - 1);
  localparam int IDLE_WORDS = CLOCKS_PER_BX - PAYLOAD_WORDS;

  // Position of the words on lane_* in this clock, as the master counts; without meaning before alignment
  logic aligned;
  logic [WORD_BITS-1:0] word;
  logic [BX_BITS-1:0] bx;
  logic [ORBIT_BITS-1:0] orbit;

  // Do all enabled lanes say that an orbit starts in this clock, and is that news
  logic start, restart;
  logic [N_LANES-1:0] believed;  // lanes whose flags count
  assign believed = lane_valid & ~lane_error;
  assign start = |cfg_lane_enable && (cfg_lane_enable & believed & lane_soo) == cfg_lane_enable;
  assign restart = start && !(aligned && word == '0 && bx == '0);

  // The same position, corrected by a start in this very clock. Only registers depend on it.
  logic running, first_word, first_bx;
  logic [WORD_BITS-1:0] word_now;
  logic [BX_BITS-1:0] bx_now;
  logic [ORBIT_BITS-1:0] orbit_now;
  assign running = aligned || restart;
  assign word_now = restart ? '0 : word;
  assign bx_now = restart ? '0 : bx;
  assign orbit_now = !restart ? orbit : aligned ? orbit + 1'b1 : '0;
  assign first_word = word_now == '0;
  assign first_bx = bx_now == '0;

  always_ff @(posedge clk) begin
    if (rst) begin
      aligned <= 1'b0;
      word <= '0;
      bx <= '0;
      orbit <= '0;
    end else if (running) begin
      aligned <= 1'b1;
      if (word_now != LAST_WORD) begin
        word <= word_now + 1'b1;
        bx <= bx_now;
        orbit <= orbit_now;
      end else begin
        word <= '0;
        bx <= bx_now == LAST_BX ? '0 : bx_now + 1'b1;
        orbit <= bx_now == LAST_BX ? orbit_now + 1'b1 : orbit_now;
      end
    end
  end

  // A start in the last word interrupts this BX as well.
  assign m_valid = aligned && word == LAST_WORD && !restart;
  assign m_bx = bx;
  assign m_orbit = orbit;
  assign sts_aligned = aligned;

  logic [N_LANES-1:0] good;  // with m_valid: the frame of this lane, its last word included
  assign m_error = |(cfg_lane_enable & ~good);

  generate
    for (genvar l = 0; l < N_LANES; l++) begin : g_lane
      logic in_step, hurt, gap;  // of the frame so far: in step, a word had error, a word was not valid
      logic fault;  // soo or sof is not what the master expects
      assign fault = believed[l] && (lane_sof[l] != first_word || lane_soo[l] != (first_word && first_bx));

      logic in_step_now, hurt_now, gap_now, clean;  // after this word; clean: in step, no word of the frame hurt, no gap
      always_comb begin
        in_step_now = in_step;
        if (rst || !running || !cfg_lane_enable[l] || fault) in_step_now = 1'b0;
        else if (believed[l] && first_word && first_bx) in_step_now = 1'b1;
        hurt_now = (hurt && !first_word) || lane_error[l];
        gap_now  = (gap && !first_word) || !lane_valid[l];
      end
      always_ff @(posedge clk) begin
        in_step <= in_step_now;
        hurt <= hurt_now;
        gap <= gap_now;
        clean <= in_step_now && !hurt_now && !gap_now;
      end
      assign sts_lane_aligned[l] = in_step;

      // The last word is never the first one: any flag in it is a fault.
      logic corrupted, late, missing;
      assign corrupted = hurt || lane_error[l];
      assign late = !corrupted && (!in_step || (lane_valid[l] && (lane_soo[l] || lane_sof[l])));
      assign missing = !corrupted && !late && (gap || !lane_valid[l]);
      // none of the three, in one LUT: the words wait for it, and in some configurations the network waits for them
      assign good[l] = cfg_lane_enable[l] && clean && lane_valid[l] && !lane_error[l] && !lane_soo[l] && !lane_sof[l];

      logic counts;
      assign counts = m_valid && cfg_lane_enable[l] && !rst;
      counter #(
          .BITS(COUNTER_BITS)
      ) corrupted_i (
          .clk  (clk),
          .rst  (rst),
          .inc  (counts && corrupted),
          .count(cnt_corrupted[l*COUNTER_BITS+:COUNTER_BITS])
      );
      counter #(
          .BITS(COUNTER_BITS)
      ) late_i (
          .clk  (clk),
          .rst  (rst),
          .inc  (counts && late),
          .count(cnt_late[l*COUNTER_BITS+:COUNTER_BITS])
      );
      counter #(
          .BITS(COUNTER_BITS)
      ) missing_i (
          .clk  (clk),
          .rst  (rst),
          .inc  (counts && missing),
          .count(cnt_missing[l*COUNTER_BITS+:COUNTER_BITS])
      );
    end
  endgenerate

  counter #(
      .BITS(COUNTER_BITS)
  ) resync_i (
      .clk  (clk),
      .rst  (rst),
      .inc  (restart && aligned && !rst),
      .count(cnt_resync)
  );

  generate
    for (genvar e = 0; e < EVENT_WORDS; e++) begin : g_word
      localparam int LANE = WORD_LANE[32*e+:32];
      localparam int INDEX = WORD_INDEX[32*e+:32];
      logic [31:0] arrived;  // at the end of the BX
      if (INDEX == PAYLOAD_WORDS - 1) begin : g_last
        assign arrived = lane_data[32*LANE+:32];
      end else begin : g_held
        always_ff @(posedge clk) if (word_now == WORD_BITS'(IDLE_WORDS + INDEX)) arrived <= lane_data[32*LANE+:32];
      end
      assign m_words[32*e+:32] = good[LANE] ? arrived : '0;
    end
  endgenerate
endmodule
