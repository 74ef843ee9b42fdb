// Counters of any width -> 32 bits each, as registers take them. Wiring only.
module widen #(
    parameter int N = 1,     // counters
    parameter int BITS = 32  // width of each, 1 to 32
) (
    input  logic [N*BITS-1:0] narrow,  // counter 0 in the lowest bits
    output logic [  N*32-1:0] wide     // the same order; upper bits 0
);
  generate
    for (genvar i = 0; i < N; i++) begin : g_counter
      assign wide[32*i+:32] = 32'(narrow[BITS*i+:BITS]);
    end
  endgenerate
endmodule
