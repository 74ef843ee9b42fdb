// Every packet has the length that its event asks for, whatever the receiver does: header, scores, the words of the
// present objects, CRC; last with the CRC and only there. And the rules of AXI4-Stream.
module packetiser_properties #(
    parameter int N_OBJECTS = 1,
    parameter int EVENT_WORDS = 1,
    parameter int N_MODELS = 1,
    parameter int PLACE_BITS = 1,
    parameter logic [EVENT_WORDS*32-1:0] WORD_OBJECT = '0
) (
    input logic                     clk,
    input logic                     rst,
    input logic                     s_valid,
    input logic                     s_ready,
    input logic [EVENT_WORDS*32-1:0] s_words,
    input logic [31:0]              m_axis_tdata,
    input logic                     m_axis_tvalid,
    input logic                     m_axis_tready,
    input logic                     m_axis_tlast,
    input logic [N_OBJECTS-1:0]     present,
    input logic [PLACE_BITS-1:0]    place,
    input logic                     complete,
    input logic                     chosen,
    input logic                     chosen_crc
);
  localparam int HEADER_WORDS = 7 + N_MODELS;
  localparam int CRC_AT = HEADER_WORDS + EVENT_WORDS;

  // Words of the packet that are sent when all before `place` have been chosen
  logic [7:0] before_place, length;
  always_comb begin
    before_place = 8'd0;
    length = 8'(HEADER_WORDS + 1);
    for (int w = 0; w <= CRC_AT; w++) begin
      if (w < HEADER_WORDS) before_place = before_place + 8'(place > w);
      else if (w < CRC_AT) begin
        before_place = before_place + 8'(place > w && present[WORD_OBJECT[32*(w-HEADER_WORDS)+:32]]);
        length = length + 8'(present[WORD_OBJECT[32*(w-HEADER_WORDS)+:32]]);
      end
    end
  end

  logic started = 1'b0;
  logic [7:0] words;  // of this packet, taken before this clock
  logic [1:0] silence;
  always_ff @(posedge clk) begin
    started <= 1'b1;
    if (rst) words <= '0;
    else if (m_axis_tvalid && m_axis_tready) words <= m_axis_tlast ? '0 : words + 1'b1;

    if (!started) assume (rst);
    // the source holds the event until its packet is taken
    if (started && $past(!rst && s_valid && !s_ready)) assume (s_valid && $stable(s_words));

    if (started) begin
      if ($past(rst)) quiet_after_reset : assert (!m_axis_tvalid);
      if ($past(!rst && m_axis_tvalid && !m_axis_tready))
        stays : assert (m_axis_tvalid && $stable(m_axis_tdata) && $stable(m_axis_tlast));
      length_is_right : assert (!(m_axis_tvalid && m_axis_tlast) || words == length - 1'b1);
      last_at_length : assert (!m_axis_tvalid || m_axis_tlast == (words == length - 1'b1));
      only_with_event : assert (!m_axis_tvalid || s_valid);
      // what makes it inductive
      books_agree : assert (words + 8'(m_axis_tvalid) + 8'(chosen) == (complete ? length : before_place));
      places : assert (place <= CRC_AT && (!complete || place == 0));
      pipeline : assert ((!chosen_crc || (chosen && complete)) && (!m_axis_tlast || !m_axis_tvalid || complete));
      one_crc : assert (!complete || (chosen_crc != (m_axis_tvalid && m_axis_tlast)));
      open : assert (s_valid || (words == 0 && !m_axis_tvalid && !chosen && place == 0 && !complete));
      short_packet : cover (m_axis_tvalid && m_axis_tready && m_axis_tlast && length == HEADER_WORDS + 1);
      full_packet : cover (m_axis_tvalid && m_axis_tready && m_axis_tlast && length == CRC_AT + 1);
    end
  end
endmodule

bind packetiser packetiser_properties #(
    .N_OBJECTS(N_OBJECTS), .EVENT_WORDS(EVENT_WORDS), .N_MODELS(N_MODELS), .PLACE_BITS(PLACE_BITS),
    .WORD_OBJECT(WORD_OBJECT)
) properties (.*);
