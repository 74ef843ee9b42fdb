// in0 + in1 * 2^SHIFT1, or in0 - in1 * 2^SHIFT1 with IS_SUB: the adder of compiled networks, in place of the one that
// comes with alkaid, with the same ports. One carry chain in each case; bits that meet no bit of the other operand are
// wired past it.
module shift_adder #(
    parameter BW_INPUT0 = 32,  // bits of in0
    parameter BW_INPUT1 = 32,  // bits of in1
    parameter SIGNED0 = 0,     // in0 is two's complement
    parameter SIGNED1 = 0,     // in1 is two's complement
    parameter BW_OUT = 32,     // bits of out, enough for every sum that occurs
    parameter DROP_LSBS = 0,   // low bits of the sum that out leaves away
    parameter SHIFT1 = 0,      // places that in1 is shifted up; negative: in0 is shifted up instead
    parameter IS_SUB = 0       // difference
) (
    input  [BW_INPUT0-1:0] in0,
    input  [BW_INPUT1-1:0] in1,
    output [   BW_OUT-1:0] out   // same clock
);
  localparam UP0 = SHIFT1 < 0 ? -SHIFT1 : 0;
  localparam UP1 = SHIFT1 > 0 ? SHIFT1 : 0;
  localparam WIDTH = BW_OUT + DROP_LSBS;  // what a wider sum had above does not reach out
  localparam LOW = IS_SUB != 0 ? UP1 : UP0 + UP1;  // low bits in which one operand is 0 and the sum the other

  wire signed [BW_INPUT0:0] value0 = {SIGNED0 != 0 && in0[BW_INPUT0-1], in0};
  wire signed [BW_INPUT1:0] value1 = {SIGNED1 != 0 && in1[BW_INPUT1-1], in1};
  // verilator lint_off WIDTH
  wire signed [WIDTH+UP0:0] wide0 = value0;
  wire signed [WIDTH+UP1:0] wide1 = value1;
  // verilator lint_on WIDTH
  // verilator lint_off UNUSEDSIGNAL
  wire [WIDTH+UP0:0] operand0 = wide0 <<< UP0;
  wire [WIDTH+UP1:0] operand1 = wide1 <<< UP1;
  wire [WIDTH-1:0] sum;
  // verilator lint_on UNUSEDSIGNAL

  generate
    if (LOW >= WIDTH) begin : apart
      assign sum = operand0[WIDTH-1:0] | operand1[WIDTH-1:0];
    end else begin : meeting
      if (IS_SUB != 0) begin : difference
        assign sum[WIDTH-1:LOW] = operand0[WIDTH-1:LOW] - operand1[WIDTH-1:LOW];
      end else begin : total
        assign sum[WIDTH-1:LOW] = operand0[WIDTH-1:LOW] + operand1[WIDTH-1:LOW];
      end
      if (LOW > 0) begin : past
        assign sum[LOW-1:0] = operand0[LOW-1:0] | operand1[LOW-1:0];
      end
    end
  endgenerate
  assign out = sum[WIDTH-1:DROP_LSBS];
endmodule
