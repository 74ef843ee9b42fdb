// After k firings exactly floor(UNIT k / factor) have passed, for every factor and every sequence of firings.
//
// `due` keeps the books: UNIT more for each firing, the factor less for each pass, so that it is UNIT k - factor passes
// by construction. When it is never negative and always below the factor, passes = floor(UNIT k / factor).
module prescale_properties #(
    parameter int FACTOR_BITS = 32,
    parameter int UNIT = 100
) (
    input logic                   clk,
    input logic                   rst,
    input logic                   fire,
    input logic                   pass,
    input logic [FACTOR_BITS-1:0] cfg_factor,
    input logic [FACTOR_BITS:0]   step,
    input logic [FACTOR_BITS:0]   balance,
    input logic                   enabled
);
  localparam int SUM_BITS = FACTOR_BITS + 3;  // signed, with room for both in one clock

  logic started = 1'b0;
  logic [FACTOR_BITS-1:0] factor;  // the one in force
  logic signed [SUM_BITS-1:0] due;
  logic [7:0] passes;  // some of them, for the covers

  always_ff @(posedge clk) begin
    started <= 1'b1;
    factor  <= cfg_factor;
    if (rst || !enabled) begin
      due    <= '0;
      passes <= '0;
    end else begin
      due    <= due + (fire ? SUM_BITS'(UNIT) : '0) - (pass ? SUM_BITS'(factor) : '0);
      passes <= passes + 8'(pass && passes != '1);
    end
  end

  always_comb begin
    // who uses the block: rst first; the factor changes with rst or while the seed is off
    if (!started) assume (rst);
    if (started) assume (cfg_factor == factor || rst || factor < UNIT);

    if (started) begin
      factor_in_force : assert (enabled == (factor >= UNIT) && step == (FACTOR_BITS + 1)'(UNIT) - {1'b0, factor});
      only_firings_pass : assert (!pass || (fire && enabled));
      in_between : assert (due >= 0 && (due == 0 || due < $signed({3'b000, factor})));
      off_counts_nothing : assert (enabled || due == 0);
      // what makes it inductive: the register of RTL is UNIT - factor above it
      same_counter : assert (SUM_BITS'($signed(balance)) == due + SUM_BITS'(UNIT) - $signed({3'b000, factor}));
      passes_again : cover (pass && passes != 0 && factor > 2 * UNIT);
      holds_back : cover (fire && enabled && !pass && due != 0);
    end
  end
endmodule

bind prescale prescale_properties #(.FACTOR_BITS(FACTOR_BITS), .UNIT(UNIT)) properties (.*);
