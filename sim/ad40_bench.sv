// Bench of ad40_top: a playback memory in front of the device under test and a recorder behind it, as the buffers
// behind the links of a trigger board. cocotb loads, configures, starts, waits and reads back; it can also take the
// pins itself (`direct`). Simulation only. Every signal marked public is handled from Python.
module ad40_bench #(
    parameter int DEPTH = 32768  // lines of the playback memory and of the recorder
) (
    input logic clk /*verilator public_flat_rw*/,

    input logic [ad40_pkg::N_SEEDS*ad40_pkg::THRESHOLD_BITS-1:0] cfg_threshold /*verilator public_flat_rw*/,
    input logic [ ad40_pkg::N_SEEDS*ad40_pkg::PRESCALE_BITS-1:0] cfg_prescale /*verilator public_flat_rw*/,

    input logic [31:0] n_lines /*verilator public_flat_rw*/,  // lines to play, at most DEPTH
    input logic [31:0] spacing /*verilator public_flat_rw*/,  // clocks per line: the line in the first, idle after it
    input logic        play /*verilator public_flat_rw*/,     // high: play from line 0; low: rewind, clear recorder
    input logic        load /*verilator public_flat_rw*/,     // rising edge: read +playback=FILE into the memory
    input logic        dump /*verilator public_flat_rw*/,     // rising edge: write +record=FILE and +accepted=FILE
    input logic        dump_taps /*verilator public_flat_rw*/,  // rising edge: write +codes=FILE and +inputs=FILE

    // high: the pins below drive the device instead of the playback memory
    input logic                            direct /*verilator public_flat_rw*/,
    input logic                            direct_rst /*verilator public_flat_rw*/,
    input logic                            direct_valid /*verilator public_flat_rw*/,
    input logic [ad40_pkg::WORDS_BITS-1:0] direct_words /*verilator public_flat_rw*/,

    output logic        done /*verilator public_flat_rw*/,        // all lines played and the pipeline drained
    output logic [31:0] n_accepted /*verilator public_flat_rw*/,  // events that the device accepted
    output logic [31:0] n_records /*verilator public_flat_rw*/,   // decisions that came out

    output logic                            m_valid /*verilator public_flat_rw*/,
    output logic [ad40_pkg::SCORE_BITS-1:0] m_score /*verilator public_flat_rw*/,
    output logic [   ad40_pkg::N_SEEDS-1:0] m_seeds_before /*verilator public_flat_rw*/,
    output logic [   ad40_pkg::N_SEEDS-1:0] m_seeds_after /*verilator public_flat_rw*/,
    output logic                            m_l1a /*verilator public_flat_rw*/,
    output logic [                    31:0] id_spec /*verilator public_flat_rw*/,
    output logic [                    31:0] id_network /*verilator public_flat_rw*/
);
  localparam int WORDS_BITS = ad40_pkg::WORDS_BITS;
  localparam int DRAIN = ad40_pkg::LATENCY + 4;
  // a record: clock, score, seeds before, seeds after, accept; each in whole hexadecimal digits
  localparam int RECORD_BITS = 32 + 32 + 32 + 32 + 4;

  // playback: {prescale_rst, rst, valid, words} of one clock, the three flags in the hexadecimal digit above words
  logic [WORDS_BITS+3:0] playback[DEPTH];
  logic [RECORD_BITS-1:0] record[DEPTH];
  logic [31:0] accepted[DEPTH];
  logic [ad40_pkg::N_INPUTS*ad40_pkg::CODE_BITS-1:0] codes[DEPTH];
  logic [ad40_pkg::N_INPUTS*ad40_pkg::X_BITS-1:0] inputs[DEPTH];

  string playback_file, record_file, accepted_file, codes_file, inputs_file;
  initial begin
    void'($value$plusargs("playback=%s", playback_file));
    void'($value$plusargs("record=%s", record_file));
    void'($value$plusargs("accepted=%s", accepted_file));
    void'($value$plusargs("codes=%s", codes_file));
    void'($value$plusargs("inputs=%s", inputs_file));
  end
  always @(posedge load) $readmemh(playback_file, playback, 0, n_lines - 1);
  always @(posedge dump) begin
    $writememh(record_file, record, 0, n_records - 1);
    $writememh(accepted_file, accepted, 0, n_accepted - 1);
  end
  always @(posedge dump_taps) begin
    $writememh(codes_file, codes, 0, n_accepted - 1);
    $writememh(inputs_file, inputs, 0, n_accepted - 1);
  end

  // Player: the line appears on the pins after one edge and is sampled by the device at the next
  logic [31:0] clock, line, phase, idle;
  logic rst, prescale_rst, s_valid;
  logic [WORDS_BITS-1:0] s_words;
  logic p_rst, p_prescale_rst, p_valid;
  logic [WORDS_BITS-1:0] p_words;
  always_ff @(posedge clk) begin
    clock <= clock + 1;
    {p_prescale_rst, p_rst, p_valid} <= '0;
    if (!play) begin
      line  <= '0;
      phase <= '0;
      idle  <= '0;
      done  <= 1'b0;
    end else if (line < n_lines) begin
      if (phase == 0) {p_prescale_rst, p_rst, p_valid, p_words} <= playback[line][WORDS_BITS+2:0];
      phase <= phase + 1 == spacing ? '0 : phase + 1;
      if (phase + 1 == spacing) line <= line + 1;
    end else begin
      idle <= idle + 1;
      done <= idle > DRAIN;
    end
  end

  always_comb begin
    rst = direct ? direct_rst : p_rst;
    prescale_rst = !direct && p_prescale_rst;
    s_valid = direct ? direct_valid : p_valid;
    s_words = direct ? direct_words : p_words;
  end

  ad40_top dut (.*);

  // Recorder: what a register behind the device samples at each edge
  logic [31:0] n_inputs;
  always_ff @(posedge clk) begin
    if (!play) begin
      n_accepted <= '0;
      n_records  <= '0;
      n_inputs   <= '0;
    end else begin
      if (s_valid && !rst) begin
        accepted[n_accepted[$clog2(DEPTH)-1:0]] <= clock;
        codes[n_accepted[$clog2(DEPTH)-1:0]] <= dut.codes;
        n_accepted <= n_accepted + 1;
      end
      if (dut.valid[ad40_pkg::NORMALISE_STAGES-1]) begin
        inputs[n_inputs[$clog2(DEPTH)-1:0]] <= dut.x;
        n_inputs <= n_inputs + 1;
      end
      if (m_valid) begin
        record[n_records[$clog2(DEPTH)-1:0]] <= {
          clock, 32'(m_score), 32'(m_seeds_before), 32'(m_seeds_after), 3'b0, m_l1a
        };
        n_records <= n_records + 1;
      end
    end
  end
endmodule
