// Fractional prescale of one seed, after the rule of the CMS global trigger: factors are held as integers x 100. A
// counter adds 100 for each firing; when the sum reaches the factor, the firing passes and the factor is
// subtracted. After k firings floor(100 k / factor) have passed. Factor 0 passes nothing.
module prescale #(
    parameter int FACTOR_BITS = 32,  // width of the factor and of the counter
    parameter int UNIT = 100         // a factor of one: every firing passes
) (
    input  logic                   clk,
    input  logic                   rst,         // synchronous, active high: counter to 0 and no firing counted
    input  logic                   fire,        // the seed fired in this clock
    input  logic [FACTOR_BITS-1:0] cfg_factor,  // 0 (off) or at least UNIT; set two clocks before it is used
    output logic                   pass         // the firing passes; same clock as fire
);
  localparam logic [FACTOR_BITS-1:0] ONE = FACTOR_BITS'(UNIT);

  logic [FACTOR_BITS-1:0] counter;  // below the factor while the factor stays the same
  logic [FACTOR_BITS-1:0] limit;    // factor - UNIT: with this much counted, the next firing passes
  logic                   enabled;
  logic                   reached;

  // A register of its own keeps the subtraction out of the path from score to decision.
  always_ff @(posedge clk) begin
    limit   <= cfg_factor - ONE;
    enabled <= cfg_factor != '0;
  end

  assign reached = counter >= limit;
  assign pass = fire && reached && enabled;

  // A seed that is off keeps its counter at 0, so that it starts afresh when it is switched on.
  always_ff @(posedge clk) begin
    if (rst || !enabled) counter <= '0;
    else if (fire) counter <= reached ? counter - limit : counter + ONE;
  end
endmodule
