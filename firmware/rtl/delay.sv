// Shift register without reset: carries data beside a pipeline whose valid bits are reset elsewhere.
module delay #(
    parameter int WIDTH = 1,  // bits of data; at least 1
    parameter int STAGES = 1  // clocks of delay; 0 is a wire
) (
    input  logic             clk,  // rising edge
    input  logic [WIDTH-1:0] d,    // sampled at every clock
    output logic [WIDTH-1:0] q     // d, STAGES clocks later
);
  logic [(STAGES+1)*WIDTH-1:0] chain;  // d, then the registers

  assign chain[WIDTH-1:0] = d;
  generate
    for (genvar i = 1; i <= STAGES; i++) begin : g_stage
      logic [WIDTH-1:0] r;
      always_ff @(posedge clk) r <= chain[(i-1)*WIDTH+:WIDTH];
      assign chain[i*WIDTH+:WIDTH] = r;
    end
  endgenerate
  assign q = chain[STAGES*WIDTH+:WIDTH];
endmodule
