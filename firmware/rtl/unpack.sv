// Object words -> codes. Wiring only; the bit fields are those of ad40/spec/objects.yaml.
module unpack (
    // Words of the 19 objects of one event, object 0 (MET) in the lowest bits; the width of each word is that of
    // its type. Bits outside pt, eta and phi are ignored.
    input  logic [ad40_pkg::WORDS_BITS-1:0] words,
    // Signed codes, CODE_BITS each, index = object * 3 + feature (pt, eta, phi), index 0 in the lowest bits. An
    // absent field (eta of MET) is 0. Same clock as words.
    output logic [ad40_pkg::N_INPUTS*ad40_pkg::CODE_BITS-1:0] codes,
    // Bit i: object i is there, which means that its pt code is not 0. Same clock as words.
    output logic [ad40_pkg::N_OBJECTS-1:0] present
);
  localparam int CODE_BITS = ad40_pkg::CODE_BITS;

  generate
    for (genvar i = 0; i < ad40_pkg::N_OBJECTS; i++) begin : g_object
      localparam int PT_LOW = ad40_pkg::PT_LOW[32*i+:32];
      localparam int PT_BITS = ad40_pkg::PT_BITS[32*i+:32];
      localparam int ETA_LOW = ad40_pkg::ETA_LOW[32*i+:32];
      localparam int ETA_BITS = ad40_pkg::ETA_BITS[32*i+:32];
      localparam int PHI_LOW = ad40_pkg::PHI_LOW[32*i+:32];
      localparam int PHI_BITS = ad40_pkg::PHI_BITS[32*i+:32];

      logic [PT_BITS-1:0] pt;
      logic [PHI_BITS-1:0] phi;
      assign pt = words[PT_LOW+:PT_BITS];
      assign phi = words[PHI_LOW+:PHI_BITS];
      assign present[i] = |pt;
      assign codes[(3*i)*CODE_BITS+:CODE_BITS] = CODE_BITS'(pt);
      assign codes[(3*i+2)*CODE_BITS+:CODE_BITS] = CODE_BITS'(phi);
      if (ETA_BITS > 0) begin : g_eta
        logic [ETA_BITS-1:0] eta;  // two's complement
        assign eta = words[ETA_LOW+:ETA_BITS];
        assign codes[(3*i+1)*CODE_BITS+:CODE_BITS] = {{(CODE_BITS - ETA_BITS) {eta[ETA_BITS-1]}}, eta};
      end else begin : g_no_eta
        assign codes[(3*i+1)*CODE_BITS+:CODE_BITS] = '0;
      end
    end
  endgenerate
endmodule
