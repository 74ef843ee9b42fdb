// Codes -> inputs of one network: x = clip((code - offset) >>> shift); a negative shift is a left shift. The three
// inputs of an absent object are 0. Offsets, shifts and limits are those of the model card: see `algorithm`, which
// is generated and sets every parameter.
module normalise #(
    parameter int N_OBJECTS = 1,   // objects of an event; three codes each
    parameter int CODE_BITS = 13,  // signed width of a code
    parameter int X_BITS = 8,      // width of a network input
    parameter int X_MIN = 0,       // smallest and largest network input
    parameter int X_MAX = 255,
    parameter int WORK_BITS = 16,  // signed width that holds every code after offset and shift, and the limits
    parameter int STAGES = 1,      // clocks from codes to x; at least 1. More registers follow the arithmetic.
    parameter logic [N_OBJECTS*3*32-1:0] OFFSET = '0,  // per input, signed 32 bits each, index 0 in the lowest bits
    parameter logic [N_OBJECTS*3*32-1:0] SHIFT = '0    // per input, signed 32 bits each; negative: to the left
) (
    input  logic                             clk,
    input  logic [N_OBJECTS*3*CODE_BITS-1:0] codes,     // as `unpack` delivers them
    input  logic [            N_OBJECTS-1:0] present,   // as `unpack` delivers them
    // Network inputs, X_BITS each, index = object * 3 + feature, index 0 in the lowest bits, STAGES clocks later.
    output logic [   N_OBJECTS*3*X_BITS-1:0] x,
    output logic [            N_OBJECTS-1:0] present_q  // present, STAGES clocks later
);
  localparam logic signed [WORK_BITS-1:0] LOW = WORK_BITS'(X_MIN);
  localparam logic signed [WORK_BITS-1:0] HIGH = WORK_BITS'(X_MAX);

  logic [N_OBJECTS*3*X_BITS-1:0] x_now;

  generate
    for (genvar i = 0; i < N_OBJECTS * 3; i++) begin : g_input
      localparam int INPUT_OFFSET = OFFSET[32*i+:32];
      localparam int INPUT_SHIFT = SHIFT[32*i+:32];
      logic signed [WORK_BITS-1:0] code, centred, shifted, clipped;
      assign code = {{(WORK_BITS - CODE_BITS) {codes[(i+1)*CODE_BITS-1]}}, codes[i*CODE_BITS+:CODE_BITS]};
      assign centred = code - WORK_BITS'(INPUT_OFFSET);
      if (INPUT_SHIFT >= 0) begin : g_right
        assign shifted = centred >>> INPUT_SHIFT;
      end else begin : g_left
        assign shifted = centred <<< -INPUT_SHIFT;
      end
      assign clipped = shifted < LOW ? LOW : shifted > HIGH ? HIGH : shifted;
      assign x_now[i*X_BITS+:X_BITS] = present[i/3] ? clipped[X_BITS-1:0] : '0;
    end
  endgenerate

  delay #(
      .WIDTH (N_OBJECTS * 3 * X_BITS + N_OBJECTS),
      .STAGES(STAGES)
  ) registers (
      .clk(clk),
      .d  ({present, x_now}),
      .q  ({present_q, x})
  );
endmodule
