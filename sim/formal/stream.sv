// Stream variant: an event is taken only when there is a place for its decision, so that the FIFO takes every decision
// whatever the receiver does, and decisions leave by the rules of AXI4-Stream. The core stands here for its fixed
// latency alone: what goes in comes out LATENCY clocks later.
module stream_properties #(
    parameter int FIFO_DEPTH = 16
) (
    input logic                            clk,
    input logic                            rst,
    input logic                            s_valid,
    input logic                            s_axis_tvalid,
    input logic                            s_axis_tready,
    input logic                            m_valid,
    input logic                            fifo_ready,
    input logic [    $clog2(FIFO_DEPTH):0] fifo_count,
    input logic [    $clog2(FIFO_DEPTH):0] places,
    input logic                            m_axis_tvalid,
    input logic                            m_axis_tready,
    input logic                            m_axis_tlast,
    input logic [(4+ad40_pkg::N_MODELS)*32-1:0] m_axis_tdata,
    input logic [ad40_pkg::LATENCY-1:0]    in_core  // events on their way
);
  logic started = 1'b0;
  logic [7:0] flying;
  always_comb begin
    flying = 8'd0;
    for (int i = 0; i < ad40_pkg::LATENCY; i++) flying = flying + 8'(in_core[i]);
  end
  always_ff @(posedge clk) begin
    started <= 1'b1;
    if (!started) assume (rst);
    if (started) begin
      decision_has_a_place : assert (!m_valid || fifo_ready);
      if ($past(!rst && m_axis_tvalid && !m_axis_tready))
        stays : assert (m_axis_tvalid && $stable(m_axis_tdata) && $stable(m_axis_tlast));
      if ($past(rst)) quiet_after_reset : assert (!m_axis_tvalid && !s_axis_tready);
      // what makes it inductive
      books_agree : assert (8'(places) == flying + 8'(fifo_count));
      ready_means_place : assert (8'(places) + 8'(s_axis_tready) <= FIFO_DEPTH);
      full : cover (8'(places) == FIFO_DEPTH && 8'(fifo_count) == FIFO_DEPTH);
      moves : cover (s_valid && m_axis_tvalid && m_axis_tready);
    end
  end
endmodule

bind ad40_stream stream_properties #(.FIFO_DEPTH(FIFO_DEPTH)) properties (
    .*,
    .in_core(core.valid /* [ad40_pkg::LATENCY-1:0] */)
);
