// Codes -> inputs of one network: x = clip((code - offset) >>> shift); a negative shift is a left shift. The three
// inputs of an absent object are 0. Offsets, shifts and limits are those of the model card: see `algorithm`, which
// is generated and sets every parameter.
module normalise #(
    parameter int N_OBJECTS = 1,   // objects of an event; three codes each
    parameter int CODE_BITS = 13,  // signed width of a code
    parameter int X_BITS = 8,      // width of a network input
    parameter bit X_SIGNED = 0,    // network inputs are two's complement; they saturate at the ends of X_BITS
    parameter int WORK_BITS = 16,  // signed width that holds every code after offset and shift, and the limits
    parameter int STAGES = 1,      // clocks from codes to x; 0: the network's first stage holds the arithmetic, too
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
  // value - constant, bit by bit: known bits fold away, where a chain of carries would keep its length.
  function automatic logic [WORK_BITS-1:0] without(input logic [WORK_BITS-1:0] value, constant);
    logic borrow;
    borrow = 1'b0;
    for (int b = 0; b < WORK_BITS; b++) begin
      without[b] = value[b] ^ constant[b] ^ borrow;
      borrow = constant[b] ? !value[b] || borrow : !value[b] && borrow;
    end
  endfunction

  logic [N_OBJECTS*3*X_BITS-1:0] x_now;

  generate
    for (genvar i = 0; i < N_OBJECTS * 3; i++) begin : g_input
      localparam int INPUT_OFFSET = OFFSET[32*i+:32];
      localparam int INPUT_SHIFT = SHIFT[32*i+:32];
      logic signed [WORK_BITS-1:0] code, centred, shifted;
      logic [X_BITS-1:0] clipped;
      logic sign, fits;  // fits: no bit is lost. Bits say so; a comparison would be a chain of carries.
      assign code = {{(WORK_BITS - CODE_BITS) {codes[(i+1)*CODE_BITS-1]}}, codes[i*CODE_BITS+:CODE_BITS]};
      assign centred = without(code, WORK_BITS'(INPUT_OFFSET));
      if (INPUT_SHIFT >= 0) begin : g_right
        assign shifted = centred >>> INPUT_SHIFT;
      end else begin : g_left
        assign shifted = centred <<< -INPUT_SHIFT;
      end
      assign sign = shifted[WORK_BITS-1];
      if (X_SIGNED) begin : g_signed
        assign fits = shifted[WORK_BITS-1:X_BITS-1] == '0 || shifted[WORK_BITS-1:X_BITS-1] == '1;
        assign clipped = fits ? shifted[X_BITS-1:0] : {sign, {(X_BITS - 1) {!sign}}};
      end else begin : g_unsigned
        assign fits = shifted[WORK_BITS-1:X_BITS] == '0;
        assign clipped = fits ? shifted[X_BITS-1:0] : {X_BITS{!sign}};
      end
      // The pt of an absent object is 0, and of unsigned inputs 0 - offset is clipped to 0 unless it is above
      if (i % 3 == 0 && !X_SIGNED && INPUT_OFFSET >= 0) begin : g_absent
        assign x_now[i*X_BITS+:X_BITS] = clipped;
      end else begin : g_gated
        assign x_now[i*X_BITS+:X_BITS] = present[i/3] ? clipped : '0;
      end
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
