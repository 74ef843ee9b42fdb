// Fractional prescale of one seed, after the rule of the CMS global trigger: factors are held as integers x 100. A
// counter starts at 0 and adds 100 for each firing; when the sum reaches the factor, the firing passes and the
// factor is subtracted. After k firings floor(100 k / factor) have passed. A factor below UNIT passes nothing.
//
// The register holds counter + UNIT - factor, the sum that the next firing makes less the factor, so that its sign
// says at once whether that firing passes and no comparison stands between two firings. It stays from UNIT - factor
// (counter 0) to UNIT - 1 (counter factor - 1).
module prescale #(
    parameter int FACTOR_BITS = 32,  // width of the factor; 8 or more
    parameter int UNIT = 100         // a factor of one: every firing passes
) (
    input  logic                   clk,
    input  logic                   rst,         // synchronous, active high: counter to 0 and no firing counted
    input  logic                   fire,        // the seed fired in this clock
    // 0 (off) or at least UNIT. In force from the next clock on; change it in a clock with rst high, or while off.
    input  logic [FACTOR_BITS-1:0] cfg_factor,
    output logic                   pass         // the firing passes; same clock as fire
);
  localparam logic [FACTOR_BITS-1:0] ONE = FACTOR_BITS'(UNIT);

  logic [FACTOR_BITS:0] start;    // two's complement: UNIT - factor, not positive when the seed is on
  logic [FACTOR_BITS:0] step;     // start in a register: what a firing that passes adds
  logic [FACTOR_BITS:0] balance;  // counter + UNIT - factor, two's complement
  logic                 enabled;
  logic                 reached;  // the next firing passes

  assign start = {1'b0, ONE} - {1'b0, cfg_factor};
  always_ff @(posedge clk) begin
    step    <= start;
    enabled <= cfg_factor >= ONE;
  end

  assign reached = !balance[FACTOR_BITS];
  assign pass = fire && reached && enabled;

  // A seed that is off keeps its counter at 0, so that it starts afresh when it is switched on.
  always_ff @(posedge clk) begin
    if (rst || !enabled) balance <= start;
    else if (fire) balance <= balance + (reached ? step : {1'b0, ONE});
  end
endmodule
