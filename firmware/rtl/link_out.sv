// Sender of one output lane: the decision of each slot as a frame of CLOCKS_PER_BX words, with the flags of the input
// lanes. The frame starts one clock after the decision: idle words (0) first, then six payload words:
//   0  L1A (bit 31), link error (30), request (29), BX (lowest bits)
//   1  seed bits before prescale    2  seed bits after prescale    3 to 5  score of each model; 0 for none
// Between frames, as after a new alignment of the links, nothing is valid and all is 0. Decisions must be at least
// CLOCKS_PER_BX clocks apart, as those of `links` are; an earlier one would cut the frame before it.
module link_out #(
    parameter int CLOCKS_PER_BX = ad40_pkg::CLOCKS_PER_BX,  // words of a frame; at least 6
    parameter int N_MODELS = ad40_pkg::N_MODELS,            // 1 to 3
    parameter int SCORE_BITS = ad40_pkg::SCORE_BITS,        // width of a score, at most 32
    parameter int N_SEEDS = ad40_pkg::N_SEEDS,              // at most 32
    parameter int BX_BITS = ad40_pkg::BX_BITS               // at most 29
) (
    input logic clk,
    input logic rst,  // synchronous, active high: a frame under way ends; nothing is valid after this edge

    // The decision of one slot, all with s_valid. Ports as the outputs of `menu`.
    input logic                           s_valid,
    input logic                           s_error,
    input logic [            BX_BITS-1:0] s_bx,
    input logic [N_MODELS*SCORE_BITS-1:0] s_scores,
    input logic [            N_SEEDS-1:0] s_seeds_before,
    input logic [            N_SEEDS-1:0] s_seeds_after,
    input logic                           s_request,
    input logic                           s_l1a,

    // The lane; all from registers.
    output logic [31:0] out_data,
    output logic        out_valid,  // the word is part of a frame, idle words included
    output logic        out_soo,    // first word of the frame of BX 0
    output logic        out_sof     // first word of a frame
);
  localparam int PAYLOAD_WORDS = 6;
  localparam int MAX_MODELS = 3;
  localparam int FRAME_BITS = CLOCKS_PER_BX * 32;
  localparam int LEFT_BITS = $clog2(CLOCKS_PER_BX + 1);

  logic [MAX_MODELS*32-1:0] scores;
  generate
    for (genvar k = 0; k < MAX_MODELS; k++) begin : g_score
      if (k < N_MODELS) begin : g_model
        assign scores[32*k+:32] = 32'(s_scores[k*SCORE_BITS+:SCORE_BITS]);
      end else begin : g_none
        assign scores[32*k+:32] = '0;
      end
    end
  endgenerate

  // The whole frame, first word in the lowest bits, and what is left of it. Zeros follow it, so that silence is 0.
  logic [FRAME_BITS-1:0] frame, rest;
  logic [LEFT_BITS-1:0] left;  // words of the frame after the one on the lane
  assign frame = FRAME_BITS'({
    scores, 32'(s_seeds_after), 32'(s_seeds_before), s_l1a, s_error, s_request, 29'(s_bx)
  }) << (FRAME_BITS - PAYLOAD_WORDS * 32);

  always_ff @(posedge clk) begin
    if (rst) begin
      {rest, out_data} <= '0;
      left <= '0;
      out_valid <= 1'b0;
      out_sof <= 1'b0;
      out_soo <= 1'b0;
    end else begin
      {rest, out_data} <= s_valid ? {32'd0, frame} : {32'd0, rest};
      left <= s_valid ? LEFT_BITS'(CLOCKS_PER_BX - 1) : left == '0 ? '0 : left - 1'b1;
      out_valid <= s_valid || left != '0;
      out_sof <= s_valid;
      out_soo <= s_valid && s_bx == '0;
    end
  end
endmodule
