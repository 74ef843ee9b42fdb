// AXI4-Lite slave of `registers`: the rules of the handshakes (Arm IHI 0022, A3.2), one answer to each request and
// none without, and an answer within a fixed number of clocks.
module axi_lite_properties (
    input logic        clk,
    input logic        rst,
    input logic [11:0] s_axi_awaddr,
    input logic        s_axi_awvalid,
    input logic        s_axi_awready,
    input logic [31:0] s_axi_wdata,
    input logic [ 3:0] s_axi_wstrb,
    input logic        s_axi_wvalid,
    input logic        s_axi_wready,
    input logic [ 1:0] s_axi_bresp,
    input logic        s_axi_bvalid,
    input logic        s_axi_bready,
    input logic [11:0] s_axi_araddr,
    input logic        s_axi_arvalid,
    input logic        s_axi_arready,
    input logic [31:0] s_axi_rdata,
    input logic [ 1:0] s_axi_rresp,
    input logic        s_axi_rvalid,
    input logic        s_axi_rready,
    input logic        aw_held,       // internals: where a write and a read are
    input logic        w_held,
    input logic        write_decode,
    input logic [ 1:0] read_step
);
  localparam int WITHIN = 4;  // clocks

  logic started = 1'b0;
  // Requests taken and not yet answered: counted with room for more than one, so that a second would show
  logic [2:0] addresses, data, reads;
  logic [2:0] write_waits, read_waits, idle_write, idle_read;  // clocks since
  logic write_asked;
  assign write_asked = addresses != 0 && data != 0;

  always_ff @(posedge clk) begin
    started <= 1'b1;
    if (rst) begin
      {addresses, data, reads, write_waits, read_waits, idle_write, idle_read} <= '0;
    end else begin
      addresses <= addresses + 3'(s_axi_awvalid && s_axi_awready) - 3'(s_axi_bvalid && s_axi_bready);
      data <= data + 3'(s_axi_wvalid && s_axi_wready) - 3'(s_axi_bvalid && s_axi_bready);
      reads <= reads + 3'(s_axi_arvalid && s_axi_arready) - 3'(s_axi_rvalid && s_axi_rready);
      write_waits <= write_asked && !s_axi_bvalid ? write_waits + 1'b1 : '0;
      read_waits <= reads != 0 && !s_axi_rvalid ? read_waits + 1'b1 : '0;
      idle_write <= (addresses == 0 && !s_axi_awready) || (data == 0 && !s_axi_wready) ? idle_write + 1'b1 : '0;
      idle_read <= reads == 0 && !s_axi_arready ? idle_read + 1'b1 : '0;
    end

    // the master
    if (!started) assume (rst);
    if (started && $past(!rst)) begin
      if ($past(s_axi_awvalid && !s_axi_awready)) assume (s_axi_awvalid && $stable(s_axi_awaddr));
      if ($past(s_axi_wvalid && !s_axi_wready)) assume (s_axi_wvalid && $stable(s_axi_wdata) && $stable(s_axi_wstrb));
      if ($past(s_axi_arvalid && !s_axi_arready)) assume (s_axi_arvalid && $stable(s_axi_araddr));
    end

    if (started) begin
      if ($past(rst)) quiet_after_reset : assert (!s_axi_bvalid && !s_axi_rvalid);
      if ($past(!rst && s_axi_bvalid && !s_axi_bready))
        write_answer_stays : assert (s_axi_bvalid && $stable(s_axi_bresp));
      if ($past(!rst && s_axi_rvalid && !s_axi_rready))
        read_answer_stays : assert (s_axi_rvalid && $stable(s_axi_rdata) && $stable(s_axi_rresp));
      answer_only_to_writes : assert (!s_axi_bvalid || (addresses == 1 && data == 1));
      answer_only_to_reads : assert (!s_axi_rvalid || reads == 1);
      one_at_a_time : assert (addresses <= 1 && data <= 1 && reads <= 1);
      codes_of_writes : assert (!s_axi_bvalid || s_axi_bresp == 2'b00 || s_axi_bresp == 2'b10);
      codes_of_reads : assert (!s_axi_rvalid || s_axi_rresp == 2'b00 || s_axi_rresp == 2'b10);
      writes_are_answered : assert (write_waits < WITHIN);
      reads_are_answered : assert (read_waits < WITHIN);
      ready_for_writes : assert (idle_write < WITHIN);
      ready_for_reads : assert (idle_read < WITHIN);
      // what makes it inductive: a request is in one place at a time
      place_of_address : assert (addresses == 3'(aw_held) + 3'(write_decode) + 3'(s_axi_bvalid));
      place_of_data : assert (data == 3'(w_held) + 3'(write_decode) + 3'(s_axi_bvalid));
      place_of_read : assert (reads == 3'(read_step[0]) + 3'(read_step[1]) + 3'(s_axi_rvalid));
      free : assert (!(s_axi_awready && addresses != 0) && !(s_axi_wready && data != 0) && !(s_axi_arready && reads != 0));
      write_done : cover (s_axi_bvalid && s_axi_bready && s_axi_bresp == 2'b00);
      write_refused : cover (s_axi_bvalid && s_axi_bready && s_axi_bresp == 2'b10);
      read_done : cover (s_axi_rvalid && s_axi_rready && s_axi_rresp == 2'b00 && s_axi_rdata != 0);
      read_refused : cover (s_axi_rvalid && s_axi_rready && s_axi_rresp == 2'b10);
    end
  end
endmodule

bind registers axi_lite_properties properties (.*);
