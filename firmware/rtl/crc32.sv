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

  logic [31:0] state, appended;

  always_comb begin
    appended = state ^ data;
    for (int i = 0; i < 32; i++) appended = appended[0] ? (appended >> 1) ^ POLYNOMIAL : appended >> 1;
  end

  always_ff @(posedge clk) begin
    if (clear) state <= '1;
    else if (valid) state <= appended;
  end
  assign crc = ~state;
endmodule
