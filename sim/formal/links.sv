// BX counter and framing: the position that every event carries is that of the clocks counted since the last
// alignment, always below ORBIT_BX, wrapping with the orbit; no fault on any lane moves it. One event per BX.
module links_properties #(
    parameter int N_LANES = 1,
    parameter int CLOCKS_PER_BX = 6,
    parameter int ORBIT_BX = 3564,
    parameter int BX_BITS = 12,
    parameter int ORBIT_BITS = 32
) (
    input logic                             clk,
    input logic                             rst,
    input logic [N_LANES-1:0]               cfg_lane_enable,
    input logic [N_LANES-1:0]               lane_valid,
    input logic [N_LANES-1:0]               lane_soo,
    input logic [N_LANES-1:0]               lane_error,
    input logic                             m_valid,
    input logic                             m_error,
    input logic [BX_BITS-1:0]               m_bx,
    input logic [ORBIT_BITS-1:0]            m_orbit,
    input logic                             aligned,
    input logic [$clog2(CLOCKS_PER_BX)-1:0] word,
    input logic [BX_BITS-1:0]               bx,
    input logic [ORBIT_BITS-1:0]            orbit
);
  localparam int ORBIT_CLOCKS = ORBIT_BX * CLOCKS_PER_BX;

  logic started = 1'b0;
  logic common;  // all enabled lanes show an orbit start, in words without an error
  assign common = cfg_lane_enable != '0 && (cfg_lane_enable & ~(lane_valid & lane_soo & ~lane_error)) == '0;

  // The same clocks counted apart from RTL: one counter for the whole orbit
  logic seen;  // an orbit start has been seen
  logic [31:0] clocks;  // in the orbit, at this clock, when no start comes
  logic [ORBIT_BITS-1:0] orbits;
  logic moved;  // the start in this clock is at an unexpected place
  logic [31:0] now;
  assign moved = common && !(seen && clocks == 0);
  assign now = moved ? 32'd0 : clocks;
  logic [31:0] quiet;  // clocks since the last event
  always_ff @(posedge clk) begin
    started <= 1'b1;
    if (rst) begin
      seen   <= 1'b0;
      clocks <= '0;
      orbits <= '0;
      quiet  <= 32'(CLOCKS_PER_BX);
    end else begin
      seen <= seen || common;
      if (seen || common) begin
        clocks <= now == ORBIT_CLOCKS - 1 ? '0 : now + 1'b1;
        orbits <= orbits + ORBIT_BITS'(moved && seen) + ORBIT_BITS'(now == ORBIT_CLOCKS - 1);
      end
      quiet <= m_valid ? 32'd1 : quiet == 32'(CLOCKS_PER_BX) ? quiet : quiet + 1'b1;
    end
    if (!started) assume (rst);
    if (started) begin
      below_orbit : assert (!m_valid || m_bx < BX_BITS'(ORBIT_BX));
      same_bx : assert (!m_valid || 32'(m_bx) * CLOCKS_PER_BX + CLOCKS_PER_BX - 1 == clocks);
      same_orbit : assert (!m_valid || m_orbit == orbits);
      not_before_alignment : assert (!m_valid || seen);
      at_each_bx : assert (!(aligned && word == CLOCKS_PER_BX - 1 && !moved) || m_valid);
      apart : assert (!m_valid || quiet == 32'(CLOCKS_PER_BX));
      // what makes it inductive
      alike : assert (aligned == seen && clocks < ORBIT_CLOCKS && word < CLOCKS_PER_BX && bx < ORBIT_BX);
      position : assert (32'(bx) * CLOCKS_PER_BX + 32'(word) == clocks && orbit == orbits);
      from_zero : assert (seen || (clocks == 0 && orbits == 0));
      spacing : assert (quiet != 0 && quiet <= CLOCKS_PER_BX && (quiet == CLOCKS_PER_BX || 32'(word) + 1 == quiet || 32'(word) + 1 < quiet));
      event_in_second_orbit : cover (m_valid && m_orbit == 1 && m_bx == 1 && !m_error);
      resync : cover (moved && seen && clocks == 1);
    end
  end
endmodule

bind links links_properties #(
    .N_LANES(N_LANES), .CLOCKS_PER_BX(CLOCKS_PER_BX), .ORBIT_BX(ORBIT_BX), .BX_BITS(BX_BITS), .ORBIT_BITS(ORBIT_BITS)
) properties (.*);
