// Codes -> network inputs: x = clip((code - offset) >>> shift); a negative shift is a left shift. The three inputs
// of an absent object are 0. Offsets and shifts are those of the model card.
module normalise #(
    parameter int STAGES = 1  // clocks from codes to x; at least 1. More registers follow the arithmetic.
) (
    input  logic                                              clk,
    input  logic [ad40_pkg::N_INPUTS*ad40_pkg::CODE_BITS-1:0] codes,         // as `unpack` delivers them
    input  logic [                   ad40_pkg::N_OBJECTS-1:0] present,       // as `unpack` delivers them
    // Network inputs, X_BITS each, index = object * 3 + feature, index 0 in the lowest bits, STAGES clocks later.
    output logic [   ad40_pkg::N_INPUTS*ad40_pkg::X_BITS-1:0] x,
    output logic [                   ad40_pkg::N_OBJECTS-1:0] present_q      // present, STAGES clocks later
);
  localparam int CODE_BITS = ad40_pkg::CODE_BITS;
  localparam int X_BITS = ad40_pkg::X_BITS;
  localparam int W = ad40_pkg::WORK_BITS;  // holds every code after offset and shift
  localparam logic signed [W-1:0] X_MIN = W'(ad40_pkg::X_MIN);
  localparam logic signed [W-1:0] X_MAX = W'(ad40_pkg::X_MAX);

  logic [ad40_pkg::N_INPUTS*X_BITS-1:0] x_now;

  generate
    for (genvar i = 0; i < ad40_pkg::N_INPUTS; i++) begin : g_input
      localparam int OFFSET = ad40_pkg::OFFSET[32*i+:32];
      localparam int SHIFT = ad40_pkg::SHIFT[32*i+:32];
      logic signed [W-1:0] code, centred, shifted, clipped;
      assign code = {{(W - CODE_BITS) {codes[(i+1)*CODE_BITS-1]}}, codes[i*CODE_BITS+:CODE_BITS]};
      assign centred = code - W'(OFFSET);
      if (SHIFT >= 0) begin : g_right
        assign shifted = centred >>> SHIFT;
      end else begin : g_left
        assign shifted = centred <<< -SHIFT;
      end
      assign clipped = shifted < X_MIN ? X_MIN : shifted > X_MAX ? X_MAX : shifted;
      assign x_now[i*X_BITS+:X_BITS] = present[i/3] ? clipped[X_BITS-1:0] : '0;
    end
  endgenerate

  delay #(
      .WIDTH (ad40_pkg::N_INPUTS * X_BITS + ad40_pkg::N_OBJECTS),
      .STAGES(STAGES)
  ) registers (
      .clk(clk),
      .d  ({present, x_now}),
      .q  ({present_q, x})
  );
endmodule
