// Which bunch crossings each seed may fire in: one row of N_SEEDS bits per BX, in distributed memory.
module bx_mask #(
    parameter int N_SEEDS = 1,     // bits of a row
    parameter int ORBIT_BX = 3564, // rows
    parameter int BX_BITS = 12,    // width of a BX number
    // Contents at power-up: runs of BX with the same row, which together cover the orbit. Run r goes from BX
    // FIRST[32*r+:32] to LAST[32*r+:32]; its row is ROW[N_SEEDS*r+:N_SEEDS].
    parameter int N_RUNS = 1,
    parameter logic [N_RUNS*32-1:0] FIRST = '0,
    parameter logic [N_RUNS*32-1:0] LAST = 32'(ORBIT_BX - 1),
    parameter logic [N_RUNS*N_SEEDS-1:0] ROW = '1
) (
    input  logic               clk,
    input  logic               we,     // write `data` into row `addr`; not cleared by any reset
    input  logic [BX_BITS-1:0] addr,   // below ORBIT_BX
    input  logic [N_SEEDS-1:0] data,
    input  logic [BX_BITS-1:0] bx,     // row to read, below ORBIT_BX
    output logic [N_SEEDS-1:0] row     // two clocks later, as written up to one clock after bx came
);
  (* ram_style = "distributed" *)
  logic [N_SEEDS-1:0] memory[ORBIT_BX];
  logic [BX_BITS-1:0] bx_q;

  initial begin
    for (int r = 0; r < N_RUNS; r++) begin
      for (int b = FIRST[32*r+:32]; b <= LAST[32*r+:32]; b++) memory[b] = ROW[N_SEEDS*r+:N_SEEDS];
    end
  end

  always_ff @(posedge clk) begin
    if (we) memory[addr] <= data;
    bx_q <= bx;
    row  <= memory[bx_q];
  end
endmodule
