//! `readside`: the read side of CQRS as one program.

fn main() -> std::process::ExitCode {
    readside::main()
}
