// A frame with an error or a hole is never delivered, and its event is flagged: for any lane, whatever the others do.
module links_lane_properties #(
    parameter int N_LANES = 1,
    parameter int CLOCKS_PER_BX = 6
) (
    input logic                             clk,
    input logic                             rst,
    input logic [N_LANES-1:0]               cfg_lane_enable,
    input logic [N_LANES-1:0]               lane_valid,
    input logic [N_LANES-1:0]               lane_error,
    input logic                             m_valid,
    input logic                             m_error,
    input logic [N_LANES-1:0]               good
);
  logic started = 1'b0;
  (* anyconst *) logic [$clog2(N_LANES + 1)-1:0] lane;
  logic [CLOCKS_PER_BX-2:0] faults;  // in the words before this one, the last in bit 0
  logic fault;
  assign fault = lane_error[lane] || !lane_valid[lane];
  always_ff @(posedge clk) begin
    started <= 1'b1;
    faults  <= {faults[CLOCKS_PER_BX-3:0], fault};
    if (!started) assume (rst);
    assume (lane < N_LANES);
    if (started && m_valid && (fault || faults != '0)) begin
      dropped : assert (!good[lane]);
      flagged : assert (m_error || !cfg_lane_enable[lane]);
    end
    if (started) begin
      good_frame : cover (m_valid && good[lane] && !m_error);
      faulty_frame : cover (m_valid && !good[lane] && cfg_lane_enable[lane] && !fault && faults == (CLOCKS_PER_BX - 1)'(1));
    end
  end
endmodule

bind links links_lane_properties #(.N_LANES(N_LANES), .CLOCKS_PER_BX(CLOCKS_PER_BX)) properties (.*);
