// Lets the proof of a block that holds a memory look at one word of it, at an arbitrary address.
module memory_properties #(
    parameter int WIDTH = 32,
    parameter int DEPTH = 256
) (
    input logic [WIDTH-1:0] word  // at the address `witness`
);
  (* anyconst *) logic [$clog2(DEPTH)-1:0] witness;
  logic [WIDTH-1:0] stored;
  assign stored = word;
endmodule

bind memory memory_properties #(.WIDTH(WIDTH), .DEPTH(DEPTH)) properties (
    .word(words[properties.witness /* [$clog2(DEPTH)-1:0] */])
);
