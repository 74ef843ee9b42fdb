// Bench of ad40_top: a player of lane files in front of the device under test, recorders behind it, as the buffers
// around the links of a trigger board. Files are streamed, so that orbit follows orbit for as long as one likes, and
// nothing here wakes Python at a clock. cocotb starts, waits for `alarm` and `done`, and masters the AXI4-Lite bus.
// Simulation only.
module ad40_top_bench #(
    parameter logic [31:0] PRESET = 32'hffffffff  // see `preset`
) (
    input logic        clk /*verilator public_flat_rw*/,
    input logic        rst /*verilator public_flat_rw*/,
    input logic [31:0] scenario /*verilator public_flat_rw*/,     // number in the names of its files
    input logic        play /*verilator public_flat_rw*/,         // high: open the files and play from line 0; low: close
    input logic [31:0] alarm_line /*verilator public_flat_rw*/,   // line at which `alarm` rises
    input logic [ 8:0] ready_level /*verilator public_flat_rw*/,  // m_axis_tready in so many of 256 clocks, at random
    // counters of links and readout stand at PRESET while high, and count on from there
    input logic        preset /*verilator public_flat_rw*/,
    output logic       alarm /*verilator public_flat_rw*/,
    output logic       done /*verilator public_flat_rw*/,         // every line has been on the pins

    // AXI4-Stream rules broken by the readout: tvalid dropped, or data changed, before tready
    output logic [31:0] axis_faults /*verilator public_flat_rw*/,

    input  logic [11:0] s_axil_awaddr /*verilator public_flat_rw*/,
    input  logic [ 2:0] s_axil_awprot /*verilator public_flat_rw*/,
    input  logic        s_axil_awvalid /*verilator public_flat_rw*/,
    output logic        s_axil_awready /*verilator public_flat_rw*/,
    input  logic [31:0] s_axil_wdata /*verilator public_flat_rw*/,
    input  logic [ 3:0] s_axil_wstrb /*verilator public_flat_rw*/,
    input  logic        s_axil_wvalid /*verilator public_flat_rw*/,
    output logic        s_axil_wready /*verilator public_flat_rw*/,
    output logic [ 1:0] s_axil_bresp /*verilator public_flat_rw*/,
    output logic        s_axil_bvalid /*verilator public_flat_rw*/,
    input  logic        s_axil_bready /*verilator public_flat_rw*/,
    input  logic [11:0] s_axil_araddr /*verilator public_flat_rw*/,
    input  logic [ 2:0] s_axil_arprot /*verilator public_flat_rw*/,
    input  logic        s_axil_arvalid /*verilator public_flat_rw*/,
    output logic        s_axil_arready /*verilator public_flat_rw*/,
    output logic [31:0] s_axil_rdata /*verilator public_flat_rw*/,
    output logic [ 1:0] s_axil_rresp /*verilator public_flat_rw*/,
    output logic        s_axil_rvalid /*verilator public_flat_rw*/,
    input  logic        s_axil_rready /*verilator public_flat_rw*/
);
  localparam int N_LANES = ad40_pkg::N_LANES;
  localparam int N_MODELS = ad40_pkg::N_MODELS;
  localparam int N_SEEDS = ad40_pkg::N_SEEDS;
  localparam int SCORE_BITS = ad40_pkg::SCORE_BITS;
  localparam int LINE_BITS = (36 * N_LANES + 8 + 7) / 8 * 8;  // see sim/lanes.py

  // Player: line i is on the pins while `line` is i, and the device samples it at the edge that ends that time
  string folder;
  int stimulus, decisions, lane_out, packets, strobes;
  initial void'($value$plusargs("folder=%s", folder));
  always @(posedge play) begin
    stimulus  = $fopen($sformatf("%s/stimulus%0d.bin", folder, scenario), "rb");
    decisions = $fopen($sformatf("%s/decisions%0d.hex", folder, scenario), "w");
    lane_out  = $fopen($sformatf("%s/lane%0d.hex", folder, scenario), "w");
    packets   = $fopen($sformatf("%s/packets%0d.hex", folder, scenario), "w");
    strobes   = $fopen($sformatf("%s/strobes%0d.hex", folder, scenario), "w");
  end
  always @(negedge play) begin
    $fclose(stimulus);
    $fclose(decisions);
    $fclose(lane_out);
    $fclose(packets);
    $fclose(strobes);
  end

  logic [LINE_BITS-1:0] pins, next_pins;
  logic [31:0] line /*verilator public_flat_rw*/;
  logic playing, ended;
  always_ff @(posedge clk) begin
    if (!play) begin
      pins <= '0;
      line <= '1;
      playing <= 1'b0;
      ended <= 1'b0;
    end else begin
      line <= line + 1;
      playing <= 1'b1;
      next_pins = '0;
      if (!ended && $fread(next_pins, stimulus) != LINE_BITS / 8) begin
        next_pins = '0;
        ended <= 1'b1;
      end
      pins <= next_pins;
    end
    alarm <= playing && line >= alarm_line;
    done  <= playing && ended;
  end

  logic [N_LANES*32-1:0] lane_data;
  logic [N_LANES-1:0] lane_valid, lane_soo, lane_sof, lane_error;
  logic l1a_in;
  assign {l1a_in, lane_error, lane_sof, lane_soo, lane_valid, lane_data} = pins[36*N_LANES:0];

  // Back-pressure
  logic [31:0] noise;
  logic m_axis_tvalid, m_axis_tready, m_axis_tlast;
  logic [31:0] m_axis_tdata;
  always_ff @(posedge clk) begin
    noise <= rst ? 32'h2545f491 : {noise[30:0], noise[31] ^ noise[21] ^ noise[1] ^ noise[0]};
    m_axis_tready <= {1'b0, noise[7:0] ^ noise[23:16]} < ready_level;
  end

  logic m_valid, m_l1a;
  logic [31:0] out_data;
  logic out_valid, out_soo, out_sof;

  ad40_top dut (.*);

  logic [5:0] strobe;
  assign strobe = {dut.lumi_start, dut.snapshot, dut.counter_rst, dut.prescale_rst, dut.update_now, dut.update};

  // Counters shortly before they wrap: no simulation lasts long enough to get there by itself
  generate
    for (genvar l = 0; l < N_LANES; l++) begin : g_preset
      always @(posedge preset) begin
        force dut.links_i.g_lane[l].corrupted_i.count = PRESET;
        force dut.links_i.g_lane[l].late_i.count = PRESET;
        force dut.links_i.g_lane[l].missing_i.count = PRESET;
      end
      always @(negedge preset) begin
        release dut.links_i.g_lane[l].corrupted_i.count;
        release dut.links_i.g_lane[l].late_i.count;
        release dut.links_i.g_lane[l].missing_i.count;
      end
    end
  endgenerate
  always @(posedge preset) begin
    force dut.links_i.resync_i.count = PRESET;
    force dut.readout_i.packets.count = PRESET;
    force dut.readout_i.overflow.count = PRESET;
  end
  always @(negedge preset) begin
    release dut.links_i.resync_i.count;
    release dut.readout_i.packets.count;
    release dut.readout_i.overflow.count;
  end

  // Recorders: what a register behind the device samples at each edge
  logic held, held_last;
  logic [31:0] held_data;
  always_ff @(posedge clk) begin
    if (play && playing) begin
      if (m_valid)
        $fwrite(decisions, "%h\n", {line, dut.m_orbit, 16'(dut.m_bx), 12'b0, dut.m_busy, dut.m_error, dut.m_request, m_l1a,
                32'(dut.m_seeds_before), 32'(dut.m_seeds_after), wide_scores});
      $fwrite(lane_out, "%h\n", {29'b0, out_sof, out_soo, out_valid, out_data});
      if (m_axis_tvalid) $fwrite(packets, "%h\n", {line, 30'b0, m_axis_tready, m_axis_tlast, m_axis_tdata});
      if (strobe != '0) $fwrite(strobes, "%h\n", {line, 26'b0, strobe});
    end
    held <= m_axis_tvalid && !m_axis_tready && !rst;
    {held_last, held_data} <= {m_axis_tlast, m_axis_tdata};
    if (rst) axis_faults <= '0;
    else if (held && (!m_axis_tvalid || {held_last, held_data} != {m_axis_tlast, m_axis_tdata}))
      axis_faults <= axis_faults + 1;
  end

  logic [N_MODELS*32-1:0] wide_scores;  // model 0 in the highest bits, first in the record
  always_comb
    for (int k = 0; k < N_MODELS; k++)
      wide_scores[(N_MODELS-1-k)*32+:32] = 32'(dut.m_scores[k*SCORE_BITS+:SCORE_BITS]);
endmodule
