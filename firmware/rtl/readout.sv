// Readout of accepted events: rings that hold every slot until its Level-1 accept arrives, a derandomiser (FIFO of
// accepted events), and the packetiser.
//
// A slot is one decision (d_valid); its words came earlier, with w_valid. Both rings are addressed by slot. The slot
// that leaves the rings with a decision is the one L1A_LATENCY_BX decisions before; it is accepted when
//   cfg_l1a_source = 0: its own decision was L1A;   cfg_l1a_source = 1: l1a_in is high with the present d_valid.
// Accepts before L1A_LATENCY_BX slots have been decided since rst find no event and are ignored. An accepted event goes
// to the derandomiser. When that is full (DERANDOMISER_DEPTH events, the one being sent included) the event is lost:
// its number is used up, cnt_overflow counts it, and the next event that is taken carries flag 0. Every event sits in
// the derandomiser until the last word of its packet is taken.
//
// Credits: sts_outstanding = own accepts still in the ring (with source 0 only) + events in the derandomiser; busy is
// that at least cfg_busy_level, unless cfg_ignore_busy, one clock later. So with source 0 a menu that obeys busy never
// loses an event, if cfg_busy_level is at most DERANDOMISER_DEPTH and decisions are at least 3 clocks apart:
// the accept of a decision (d_valid in clock t) shows in busy from clock t + 2, when the menu makes the next one.
module readout #(
    parameter int N_OBJECTS = ad40_pkg::N_OBJECTS,  // these to DESIGN_ID: see `packetiser`
    parameter int EVENT_WORDS = ad40_pkg::EVENT_WORDS,
    parameter logic [N_OBJECTS*32-1:0] PT_LOW = ad40_pkg::PT_LOW,
    parameter logic [N_OBJECTS*32-1:0] PT_BITS = ad40_pkg::PT_BITS,
    parameter logic [EVENT_WORDS*32-1:0] WORD_OBJECT = ad40_pkg::WORD_OBJECT,
    parameter int N_MODELS = ad40_pkg::N_MODELS,
    parameter int SCORE_BITS = ad40_pkg::SCORE_BITS,
    parameter int N_SEEDS = ad40_pkg::N_SEEDS,
    parameter int BX_BITS = ad40_pkg::BX_BITS,
    parameter int ORBIT_BITS = ad40_pkg::ORBIT_BITS,
    parameter logic [31:0] DESIGN_ID = ad40_pkg::DESIGN_ID,
    parameter int L1A_LATENCY_BX = ad40_pkg::L1A_LATENCY_BX,  // slots from a decision to its accept; at least 1
    parameter int RING_DEPTH = ad40_pkg::RING_DEPTH,          // slots; a power of two above L1A_LATENCY_BX
    // Slots whose words can be there before their decision: clocks from w_valid to d_valid / clocks between slots,
    // rounded up. The ring of words is doubled when it would not hold them as well.
    parameter int SLOTS_IN_FLIGHT = (ad40_pkg::LATENCY + ad40_pkg::CLOCKS_PER_BX - 1) / ad40_pkg::CLOCKS_PER_BX,
    parameter int DERANDOMISER_DEPTH = ad40_pkg::DERANDOMISER_DEPTH,  // events; a power of two, at least 2
    parameter int COUNTER_BITS = 32                           // width of each counter; they wrap
) (
    input logic clk,
    input logic rst,  // synchronous, active high: all empty after this edge; a packet under way ends, see `packetiser`

    input logic        cfg_l1a_source,   // see above; acts on the decisions of the same clock
    input logic        cfg_ignore_busy,  // 1: busy stays low
    input logic [15:0] cfg_busy_level,   // 0: always busy

    input logic                      w_valid,  // the words of a slot; each is decided later, in the same order
    input logic [EVENT_WORDS*32-1:0] w_words,

    // The decision of a slot, all with d_valid. Ports as the outputs of `menu`.
    input logic                           d_valid,
    input logic                           d_error,
    input logic [            BX_BITS-1:0] d_bx,
    input logic [         ORBIT_BITS-1:0] d_orbit,
    input logic [N_MODELS*SCORE_BITS-1:0] d_scores,
    input logic [            N_SEEDS-1:0] d_seeds_before,
    input logic [            N_SEEDS-1:0] d_seeds_after,
    input logic                           d_l1a,
    input logic                           l1a_in,  // accept from outside, for the slot that leaves the rings

    output logic busy,  // the menu may not accept; a register

    // Packets, see `packetiser`: AXI4-Stream, all outputs from registers
    output logic [31:0] m_axis_tdata,
    output logic        m_axis_tvalid,
    input  logic        m_axis_tready,
    output logic        m_axis_tlast,

    output logic [            15:0] sts_outstanding,
    output logic [            15:0] sts_occupancy,  // events in the derandomiser, the one being sent included
    output logic [COUNTER_BITS-1:0] cnt_packets,    // packets whose last word was taken
    output logic [COUNTER_BITS-1:0] cnt_overflow    // accepted events that were lost
);
  localparam int ADDRESS_BITS = $clog2(RING_DEPTH);
  localparam int WORD_RING_DEPTH = RING_DEPTH > L1A_LATENCY_BX + SLOTS_IN_FLIGHT ? RING_DEPTH : 2 * RING_DEPTH;
  localparam int WORD_ADDRESS_BITS = $clog2(WORD_RING_DEPTH);
  localparam int WORDS_BITS = EVENT_WORDS * 32;
  localparam int SCORES_BITS = N_MODELS * SCORE_BITS;
  localparam int DECISION_BITS = 2 + BX_BITS + ORBIT_BITS + 2 * N_SEEDS + SCORES_BITS;
  localparam int EVENT_BITS = 3 + 32 + DECISION_BITS - 2 + WORDS_BITS;
  localparam logic [ADDRESS_BITS-1:0] LATENCY = ADDRESS_BITS'(L1A_LATENCY_BX);

  // Rings: slots are numbered as their words and as their decisions arrive
  logic [WORD_ADDRESS_BITS-1:0] word_slot, decision_slot;
  logic [ADDRESS_BITS-1:0] age;  // decided slots in the ring, up to LATENCY
  logic leaves;  // a slot leaves the rings with the present decision
  assign leaves = d_valid && age == LATENCY;
  always_ff @(posedge clk) begin
    if (rst) begin
      word_slot <= '0;
      decision_slot <= '0;
      age <= '0;
    end else begin
      if (w_valid) word_slot <= word_slot + 1'b1;
      if (d_valid) decision_slot <= decision_slot + 1'b1;
      if (d_valid && !leaves) age <= age + 1'b1;
    end
  end

  logic [WORD_ADDRESS_BITS-1:0] oldest;
  assign oldest = decision_slot - WORD_ADDRESS_BITS'(L1A_LATENCY_BX);

  logic [WORDS_BITS-1:0] old_words;
  memory #(
      .WIDTH(WORDS_BITS),
      .DEPTH(WORD_RING_DEPTH)
  ) word_ring (
      .clk          (clk),
      .write        (w_valid),
      .write_address(word_slot),
      .write_data   (w_words),
      .read         (leaves),
      .read_address (oldest),
      .read_data    (old_words)
  );

  logic old_l1a, old_error;
  logic [DECISION_BITS-3:0] old_decision;
  memory #(
      .WIDTH(DECISION_BITS),
      .DEPTH(RING_DEPTH)
  ) decision_ring (
      .clk          (clk),
      .write        (d_valid),
      .write_address(decision_slot[ADDRESS_BITS-1:0]),
      .write_data   ({d_l1a, d_error, d_orbit, d_bx, d_seeds_before, d_seeds_after, d_scores}),
      .read         (leaves),
      .read_address (oldest[ADDRESS_BITS-1:0]),
      .read_data    ({old_l1a, old_error, old_decision})
  );

  // One clock after leaving: accepted or forgotten
  logic left, from_outside, asked_outside;
  always_ff @(posedge clk) begin
    left <= leaves && !rst;
    from_outside <= cfg_l1a_source;
    asked_outside <= l1a_in;
  end

  logic accept, taken, lost, lost_before;
  logic [31:0] number;  // of the next accept
  assign accept = left && (from_outside ? asked_outside : old_l1a);
  assign lost = accept && !taken;
  always_ff @(posedge clk) begin
    if (rst) begin
      number <= 32'd1;
      lost_before <= 1'b0;
    end else if (accept) begin
      number <= number + 1'b1;
      lost_before <= lost;
    end
  end

  logic ready, event_valid, event_sent;
  logic [EVENT_BITS-1:0] event_out;
  logic [$clog2(DERANDOMISER_DEPTH):0] occupancy;
  assign taken = accept && ready;
  fifo #(
      .WIDTH(EVENT_BITS),
      .DEPTH(DERANDOMISER_DEPTH)
  ) derandomiser (
      .clk    (clk),
      .rst    (rst),
      .s_valid(accept),
      .s_ready(ready),
      .s_data ({from_outside, old_error, lost_before, number, old_decision, old_words}),
      .m_valid(event_valid),
      .m_ready(event_sent),
      .m_data (event_out),
      .count  (occupancy)
  );

  logic [2:0] out_flags;
  logic [31:0] out_number;
  logic [ORBIT_BITS-1:0] out_orbit;
  logic [BX_BITS-1:0] out_bx;
  logic [N_SEEDS-1:0] out_before, out_after;
  logic [SCORES_BITS-1:0] out_scores;
  logic [WORDS_BITS-1:0] out_words;
  assign {out_flags, out_number, out_orbit, out_bx, out_before, out_after, out_scores, out_words} = event_out;
  packetiser #(
      .N_OBJECTS  (N_OBJECTS),
      .EVENT_WORDS(EVENT_WORDS),
      .PT_LOW     (PT_LOW),
      .PT_BITS    (PT_BITS),
      .WORD_OBJECT(WORD_OBJECT),
      .N_MODELS   (N_MODELS),
      .SCORE_BITS (SCORE_BITS),
      .N_SEEDS    (N_SEEDS),
      .BX_BITS    (BX_BITS),
      .ORBIT_BITS (ORBIT_BITS),
      .DESIGN_ID  (DESIGN_ID)
  ) packetiser_i (
      .clk           (clk),
      .rst           (rst),
      .s_valid       (event_valid),
      .s_ready       (event_sent),
      .s_flags       (out_flags),
      .s_number      (out_number),
      .s_orbit       (out_orbit),
      .s_bx          (out_bx),
      .s_seeds_before(out_before),
      .s_seeds_after (out_after),
      .s_scores      (out_scores),
      .s_words       (out_words),
      .m_axis_tdata  (m_axis_tdata),
      .m_axis_tvalid (m_axis_tvalid),
      .m_axis_tready (m_axis_tready),
      .m_axis_tlast  (m_axis_tlast)
  );

  // Credits: an own accept is in the ring from its decision until it leaves, then in the derandomiser
  logic [ADDRESS_BITS:0] in_ring;
  logic enters_ring, leaves_ring;
  assign enters_ring = d_valid && d_l1a;
  assign leaves_ring = left && old_l1a;
  always_ff @(posedge clk) begin
    if (rst) in_ring <= '0;
    else if (enters_ring && !leaves_ring) in_ring <= in_ring + 1'b1;
    else if (leaves_ring && !enters_ring) in_ring <= in_ring - 1'b1;
    busy <= !rst && !cfg_ignore_busy && sts_outstanding >= cfg_busy_level;
  end
  assign sts_occupancy = 16'(occupancy);
  assign sts_outstanding = sts_occupancy + (cfg_l1a_source ? 16'd0 : 16'(in_ring));

  counter #(
      .BITS(COUNTER_BITS)
  ) packets (
      .clk  (clk),
      .rst  (rst),
      .inc  (event_sent && !rst),
      .count(cnt_packets)
  );
  counter #(
      .BITS(COUNTER_BITS)
  ) overflow (
      .clk  (clk),
      .rst  (rst),
      .inc  (lost && !rst),
      .count(cnt_overflow)
  );
endmodule
