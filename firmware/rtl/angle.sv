// The angle of an object to MET, less a constant: d = |phi - PER_MET met|, then the smaller of d and TURN - d, and
// centred = d - OFFSET. Exact for all codes, those beyond a turn included. No clock.
//
// The difference is a chain of carries. Once its sign is known, and whether it is beyond half a turn, what is wanted is
// the difference or its negative plus one of four constants, most of whose bits fold away.
module angle #(
    parameter int PHI_BITS = 8,   // bits of phi
    parameter int MET_BITS = 8,   // bits of met
    parameter int TURN = 144,     // codes of phi of a whole turn
    parameter int PER_MET = 1,    // codes of phi that one code of MET is
    parameter int OFFSET = 0,     // subtracted in the end
    parameter int WORK_BITS = 16  // of the result, which fits
) (
    input  logic        [ PHI_BITS-1:0] phi,     // of the object
    input  logic        [ MET_BITS-1:0] met,     // phi of MET
    output logic signed [WORK_BITS-1:0] centred
);
  // Signed bits that hold every integer from low to high
  function automatic int bits_of(input int low, high);
    bits_of = 1;
    for (int b = 1; b < 31; b++) if (low < -(1 << (b - 1)) || high >= (1 << (b - 1))) bits_of = b + 1;
  endfunction

  localparam int PHI_MAX = (1 << PHI_BITS) - 1;
  localparam int MET_MAX = PER_MET * ((1 << MET_BITS) - 1);
  localparam int FAR = PHI_MAX > MET_MAX ? PHI_MAX : MET_MAX;
  localparam int D_BITS = bits_of(-FAR, FAR);
  localparam int BITS = bits_of((FAR > TURN ? TURN - FAR : 0) - OFFSET, TURN / 2 - OFFSET);

  // difference < constant, two's complement, bit by bit: half a turn ends in zeros, which fold away
  function automatic logic below(input logic [D_BITS-1:0] value, constant);
    below = 1'b0;
    for (int b = 0; b < D_BITS - 1; b++) below = constant[b] ? !value[b] || below : !value[b] && below;
    below = constant[D_BITS-1] ? value[D_BITS-1] && below : value[D_BITS-1] || below;
  endfunction

  // a + c, bit by bit: here a chain of carries would be twice as long
  function automatic logic [BITS-1:0] plus(input logic [BITS-1:0] a, c);
    logic carry;
    carry = 1'b0;
    for (int b = 0; b < BITS; b++) begin
      plus[b] = a[b] ^ c[b] ^ carry;
      carry = a[b] && c[b] || carry && (a[b] || c[b]);
    end
  endfunction

  logic [D_BITS-1:0] difference;
  logic sign, beyond, negated;
  logic signed [BITS-1:0] constant, turned, result;
  assign difference = D_BITS'(phi) - D_BITS'(met) * D_BITS'(PER_MET);
  assign sign = difference[D_BITS-1];
  assign beyond = sign ? below(difference, D_BITS'(-(TURN / 2))) : !below(difference, D_BITS'((TURN + 1) / 2));
  assign negated = sign ^ beyond;
  assign turned = BITS'($signed(difference)) ^ {BITS{negated}};
  assign constant = beyond ? (negated ? BITS'(TURN + 1 - OFFSET) : BITS'(TURN - OFFSET)) :
      (negated ? BITS'(1 - OFFSET) : BITS'(-OFFSET));
  assign result = plus(turned, constant);
  assign centred = WORK_BITS'(result);
endmodule
