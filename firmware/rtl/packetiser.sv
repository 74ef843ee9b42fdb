// Events -> zero-suppressed packets of 32-bit words with a CRC, on AXI4-Stream. Words of a packet:
//   0  16'hAD40, version 1 (4 bits), number of models (4 bits), flags (8 bits): bit 0 events were lost before this
//      one, bit 1 a link was bad in this event, bit 2 accepted from outside
//   1  design   2  number of the accept   3  orbit   4  BX << 20 | mask of the present objects
//   5  seeds before prescale   6  seeds after prescale   7..  score of each model
//   then the 32-bit words of the present objects in the order of the event; an object is present when its pt is not 0
//   last  CRC-32 of all words before, see `crc32`; tlast
// An absent object costs one clock per word without tvalid. tvalid never drops and tdata, tlast never change before
// tready. The event is held by its source until the last word of its packet is taken. With rst a packet under way
// ends without its last word, and tvalid is low: who listens must be reset too or resynchronise on the marker.
module packetiser #(
    parameter int N_OBJECTS = ad40_pkg::N_OBJECTS,      // at most 20
    parameter int EVENT_WORDS = ad40_pkg::EVENT_WORDS,  // 32-bit words of an event
    // Per object or event word, 32 bits each, entry 0 in the lowest bits: where pt lies in the event, its width, and
    // the object that a word belongs to.
    parameter logic [N_OBJECTS*32-1:0] PT_LOW = ad40_pkg::PT_LOW,
    parameter logic [N_OBJECTS*32-1:0] PT_BITS = ad40_pkg::PT_BITS,
    parameter logic [EVENT_WORDS*32-1:0] WORD_OBJECT = ad40_pkg::WORD_OBJECT,
    parameter int N_MODELS = ad40_pkg::N_MODELS,        // 1 to 15
    parameter int SCORE_BITS = ad40_pkg::SCORE_BITS,    // width of a score, at most 32
    parameter int N_SEEDS = ad40_pkg::N_SEEDS,          // at most 32
    parameter int BX_BITS = ad40_pkg::BX_BITS,          // at most 12
    parameter int ORBIT_BITS = ad40_pkg::ORBIT_BITS,    // at most 32
    parameter logic [31:0] DESIGN_ID = ad40_pkg::DESIGN_ID
) (
    input logic clk,
    input logic rst,  // synchronous, active high: nothing is offered after this edge

    // One event; steady from s_valid until the edge with s_ready.
    input  logic                           s_valid,
    output logic                           s_ready,         // one clock: the last word of its packet is taken
    input  logic [                    2:0] s_flags,         // as in word 0
    input  logic [                   31:0] s_number,        // number of the accept, 1 for the first
    input  logic [         ORBIT_BITS-1:0] s_orbit,
    input  logic [            BX_BITS-1:0] s_bx,
    input  logic [            N_SEEDS-1:0] s_seeds_before,
    input  logic [            N_SEEDS-1:0] s_seeds_after,
    input  logic [N_MODELS*SCORE_BITS-1:0] s_scores,        // model 0 in the lowest bits
    input  logic [     EVENT_WORDS*32-1:0] s_words,         // event word 0 in the lowest bits

    // AXI4-Stream, all outputs from registers
    output logic [31:0] m_axis_tdata,
    output logic        m_axis_tvalid,
    input  logic        m_axis_tready,
    output logic        m_axis_tlast
);
  localparam int HEADER_WORDS = 7 + N_MODELS;
  localparam int CRC_AT = HEADER_WORDS + EVENT_WORDS;  // place of the CRC in a packet without zero suppression
  localparam int PLACE_BITS = $clog2(CRC_AT + 1);
  localparam logic [31:0] HEAD = {16'hAD40, 4'd1, 4'(N_MODELS), 8'd0};

  // The packet without zero suppression and CRC, word 0 in the lowest bits, and which of its words are sent
  logic [N_OBJECTS-1:0] present;
  logic [N_MODELS*32-1:0] scores;
  logic [CRC_AT*32-1:0] words;
  logic [CRC_AT:0] sent;
  generate
    for (genvar i = 0; i < N_OBJECTS; i++) begin : g_object
      localparam int LOW = PT_LOW[32*i+:32];
      localparam int BITS = PT_BITS[32*i+:32];
      assign present[i] = |s_words[LOW+:BITS];
    end
    for (genvar k = 0; k < N_MODELS; k++) begin : g_score
      assign scores[32*k+:32] = 32'(s_scores[k*SCORE_BITS+:SCORE_BITS]);
    end
    for (genvar e = 0; e < EVENT_WORDS; e++) begin : g_word
      localparam int OBJECT = WORD_OBJECT[32*e+:32];
      assign sent[HEADER_WORDS+e] = present[OBJECT];
    end
  endgenerate
  assign sent[HEADER_WORDS-1:0] = '1;
  assign sent[CRC_AT] = 1'b1;
  assign words = {
    s_words,
    scores,
    32'(s_seeds_after),
    32'(s_seeds_before),
    12'(s_bx),
    20'(present),
    32'(s_orbit),
    s_number,
    DESIGN_ID,
    HEAD | 32'(s_flags)
  };

  // Two stages that move together: chosen word -> output. The CRC is appended to in the step between.
  logic step, choose;
  logic [PLACE_BITS-1:0] place;  // of the word that is chosen next
  logic complete;  // the CRC is chosen; the packet is not yet taken
  logic chosen, chosen_crc;
  logic [31:0] chosen_data, crc;
  assign step = !m_axis_tvalid || m_axis_tready;
  assign choose = s_valid && !complete;
  assign s_ready = m_axis_tvalid && m_axis_tready && m_axis_tlast;

  always_ff @(posedge clk) begin
    if (rst) begin
      place <= '0;
      complete <= 1'b0;
      chosen <= 1'b0;
      chosen_crc <= 1'b0;
      m_axis_tvalid <= 1'b0;
      m_axis_tlast <= 1'b0;
    end else begin
      if (step) begin
        chosen <= choose && sent[place];
        chosen_crc <= choose && place == PLACE_BITS'(CRC_AT);
        m_axis_tvalid <= chosen;
        m_axis_tlast <= chosen_crc;
        if (choose) begin
          complete <= place == PLACE_BITS'(CRC_AT);
          place <= place == PLACE_BITS'(CRC_AT) ? '0 : place + 1'b1;
        end
      end
      if (s_ready) complete <= 1'b0;
    end
    if (step) begin
      chosen_data <= words[32*place+:32];  // without meaning at the place of the CRC
      m_axis_tdata <= chosen_crc ? crc : chosen_data;
    end
  end

  crc32 crc32_i (
      .clk  (clk),
      .clear(rst || (step && chosen_crc)),
      .valid(step && chosen),
      .data (chosen_data),
      .crc  (crc)
  );
endmodule
