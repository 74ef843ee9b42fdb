// Simple dual-port memory: one write port, one registered read port, one clock. Contents are undefined until written.
// A word must not be read in the clock in which it is written: the result would depend on the device.
module memory #(
    parameter int WIDTH = 32,   // bits of a word; at least 1
    parameter int DEPTH = 256,  // words; a power of two, at least 2
    /* verilator lint_off UNUSEDPARAM */  // only the synthesiser reads it
    parameter STYLE = "block"  // ram_style: "block" or "distributed"
    /* verilator lint_on UNUSEDPARAM */
) (
    input  logic                     clk,
    input  logic                     write,          // write_data goes to write_address at this edge
    input  logic [$clog2(DEPTH)-1:0] write_address,
    input  logic [        WIDTH-1:0] write_data,
    input  logic                     read,           // read_data is replaced at this edge; low: it stays
    input  logic [$clog2(DEPTH)-1:0] read_address,
    output logic [        WIDTH-1:0] read_data       // the word at read_address, after the edge with read high
);
  (* ram_style = STYLE, no_rw_check *)
  logic [WIDTH-1:0] words[DEPTH];

  always_ff @(posedge clk) begin
    if (write) words[write_address] <= write_data;
    if (read) read_data <= words[read_address];
  end
endmodule
