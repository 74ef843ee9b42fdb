// CRC-32 of IEEE 802.3 (reflected polynomial 0xEDB88320, initial value and final inversion all ones; zlib.crc32 of
// Python) over a sequence of 32-bit words, each taken as four bytes, the lowest first.
module crc32 (
    input  logic        clk,
    input  logic        clear,  // synchronous: the sequence is empty after this edge; wins over valid
    input  logic        valid,  // data is appended at this edge
    input  logic [31:0] data,
    output logic [31:0] crc     // of all words appended before this clock; 0 for none
);
  localparam logic [31:0] POLYNOMIAL = 32'hEDB88320;

  // The register is linear: bit i after a word is the parity of some bits of (state ^ data), row i of this table. One
  // tree of XORs for each bit is a third of the depth of 32 steps one after the other.
  function automatic logic [32*32-1:0] table_rows();
    logic [31:0] shifted;
    table_rows = '0;
    for (int j = 0; j < 32; j++) begin
      shifted = 32'd1 << j;
      for (int k = 0; k < 32; k++) shifted = shifted[0] ? (shifted >> 1) ^ POLYNOMIAL : shifted >> 1;
      for (int i = 0; i < 32; i++) table_rows[32*i+j] = shifted[i];
    end
  endfunction
  localparam logic [32*32-1:0] ROWS = table_rows();

  logic [31:0] state, appended;

  generate
    for (genvar i = 0; i < 32; i++) begin : g_bit
      assign appended[i] = ^((state ^ data) & ROWS[32*i+:32]);
    end
  endgenerate

  always_ff @(posedge clk) begin
    if (clear) state <= '1;
    else if (valid) state <= appended;
  end
  assign crc = ~state;
endmodule
