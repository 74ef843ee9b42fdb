// Rate counter: counts, wraps, and never stops. Reading it costs nothing, so nothing is missed.
module counter #(
    parameter int BITS = 32  // width; the count wraps to 0 after 2^BITS - 1
) (
    input  logic            clk,
    input  logic            rst,   // synchronous, active high: start again; with inc in the same clock, from 1
    input  logic            inc,   // one more
    output logic [BITS-1:0] count  // clocks with inc since the last rst, from the next clock on
);
  always_ff @(posedge clk) count <= (rst ? '0 : count) + BITS'(inc);
endmodule
