// AXI4-Stream output of the readout (Arm IHI 0051, 2.2.1): once valid, valid until ready, with steady data and last.
module axi_stream_properties (
    input logic        clk,
    input logic        rst,
    input logic [31:0] m_axis_tdata,
    input logic        m_axis_tvalid,
    input logic        m_axis_tready,
    input logic        m_axis_tlast
);
  logic started = 1'b0;
  always_ff @(posedge clk) begin
    started <= 1'b1;
    if (!started) assume (rst);
    if (started) begin
      if ($past(rst)) quiet_after_reset : assert (!m_axis_tvalid);
      if ($past(!rst && m_axis_tvalid && !m_axis_tready))
        stays : assert (m_axis_tvalid && $stable(m_axis_tdata) && $stable(m_axis_tlast));
      held_back : cover (m_axis_tvalid && $past(m_axis_tvalid && !m_axis_tready) && m_axis_tready);
    end
  end
endmodule

bind readout axi_stream_properties properties (.*);
