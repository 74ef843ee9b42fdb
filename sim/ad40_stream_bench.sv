// Bench of ad40_stream: a source with gaps, a sink with back-pressure, and a recorder. Files are streamed; nothing here
// wakes Python at a clock. Settings stay as compiled: the registers are at work in the bench of ad40_top. Simulation
// only; signals marked public are handled from Python.
module ad40_stream_bench (
    input  logic        clk /*verilator public_flat_rw*/,
    input  logic        rst /*verilator public_flat_rw*/,
    input  logic [31:0] scenario /*verilator public_flat_rw*/,     // number in the names of its files
    input  logic        play /*verilator public_flat_rw*/,         // high: open the files and play; low: close them
    input  logic [ 8:0] valid_level /*verilator public_flat_rw*/,  // the next event is offered in so many of 256 clocks
    input  logic [ 8:0] ready_level /*verilator public_flat_rw*/,  // a decision is taken in so many of 256 clocks
    input  logic [31:0] closed_until /*verilator public_flat_rw*/, // clocks from the start in which none is taken
    input  logic [31:0] n_events /*verilator public_flat_rw*/,     // in the file
    output logic        done /*verilator public_flat_rw*/,         // as many decisions came out as events are in the file

    output logic [31:0] clocks /*verilator public_flat_rw*/,       // since play
    output logic [31:0] held_full /*verilator public_flat_rw*/,    // clocks in which the input was held back
    output logic [31:0] axis_faults /*verilator public_flat_rw*/   // tvalid dropped or data changed before tready
);
  localparam int WORDS_BITS = ad40_pkg::WORDS_BITS;
  localparam int LINE_BITS = WORDS_BITS + 32 + 16 + 16;  // see sim/vectors.py
  localparam int ERROR = WORDS_BITS + 48 + 1, LAST = WORDS_BITS + 48 + 9;
  localparam int OUT_BITS = (4 + ad40_pkg::N_MODELS) * 32;

  string folder;
  int stimulus, decisions;
  initial void'($value$plusargs("folder=%s", folder));
  always @(posedge play) begin
    stimulus  = $fopen($sformatf("%s/stream%0d.bin", folder, scenario), "rb");
    decisions = $fopen($sformatf("%s/stream%0d.hex", folder, scenario), "w");
  end
  always @(negedge play) begin
    $fclose(stimulus);
    $fclose(decisions);
  end

  logic [31:0] noise;
  always_ff @(posedge clk) noise <= rst ? 32'h2545f491 : {noise[30:0], noise[31] ^ noise[21] ^ noise[1] ^ noise[0]};

  // Source: an offered event stays until it is taken
  logic [LINE_BITS-1:0] line, next_line;
  logic [31:0] accepted;
  logic s_axis_tvalid, s_axis_tready;
  always_ff @(posedge clk) begin
    if (!play || rst) begin
      s_axis_tvalid <= 1'b0;
      accepted <= '0;
    end else begin
      if (s_axis_tvalid && s_axis_tready) begin
        accepted <= accepted + 1;
        s_axis_tvalid <= 1'b0;
      end
      if ((!s_axis_tvalid || s_axis_tready) && {1'b0, noise[7:0]} < valid_level)
        if ($fread(next_line, stimulus) == LINE_BITS / 8) begin
          line <= next_line;
          s_axis_tvalid <= 1'b1;
        end
    end
  end

  // Sink
  logic m_axis_tvalid, m_axis_tready, m_axis_tlast;
  logic [OUT_BITS-1:0] m_axis_tdata;
  always_ff @(posedge clk) m_axis_tready <= {1'b0, noise[15:8] ^ noise[31:24]} < ready_level && clocks >= closed_until;

  logic [31:0] s_axil_rdata;
  logic [1:0] s_axil_bresp, s_axil_rresp;
  logic s_axil_awready, s_axil_wready, s_axil_bvalid, s_axil_arready, s_axil_rvalid;
  ad40_stream dut (
      .s_axis_tdata  (line[WORDS_BITS-1:0]),
      .s_axis_tuser  (line[ERROR]),
      .s_axis_tlast  (line[LAST]),
      .s_axil_awaddr ('0),
      .s_axil_awprot ('0),
      .s_axil_awvalid(1'b0),
      .s_axil_wdata  ('0),
      .s_axil_wstrb  ('0),
      .s_axil_wvalid (1'b0),
      .s_axil_bready (1'b1),
      .s_axil_araddr ('0),
      .s_axil_arprot ('0),
      .s_axil_arvalid(1'b0),
      .s_axil_rready (1'b1),
      .*
  );

  // Recorder: clock and content of every decision that is taken; {clock, last, words from the highest down}
  logic [31:0] taken;
  logic held, held_last;
  logic [OUT_BITS-1:0] held_data;
  always_ff @(posedge clk) begin
    if (!play || rst) begin
      {clocks, taken, held_full, axis_faults, done} <= '0;
      held <= 1'b0;
    end else begin
      clocks <= clocks + 1;
      if (s_axis_tvalid && !s_axis_tready) held_full <= held_full + 1;
      if (m_axis_tvalid && m_axis_tready) begin
        $fwrite(decisions, "%h\n", {clocks, 31'b0, m_axis_tlast, m_axis_tdata});
        taken <= taken + 1;
      end
      held <= m_axis_tvalid && !m_axis_tready;
      {held_last, held_data} <= {m_axis_tlast, m_axis_tdata};
      if (held && (!m_axis_tvalid || {held_last, held_data} != {m_axis_tlast, m_axis_tdata}))
        axis_faults <= axis_faults + 1;
      done <= taken == n_events;
    end
  end
endmodule
