//! A description of the machine.

use std::{
    fs::{self, File},
    io::Write as _,
    net::{TcpListener, TcpStream},
    time::Instant,
};

/// The repetitions of each probe.
const PROBES: u32 = 200;

/// The number of cores, the kernel, the load, and the times of an fdatasync and of a connection.
pub(crate) fn description() -> anyhow::Result<String> {
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    let (fsync, connect) = (fsync_us()?, connect_us()?);
    Ok(format!(
        "Machine: {cores} cores, Linux {}, load {load}, fdatasync {fsync:.0} us, connect and close {connect:.0} us.\n",
        kernel.trim()
    ))
}

fn fsync_us() -> anyhow::Result<f64> {
    let path = std::env::temp_dir().join(format!("paylab-bench-{}", std::process::id()));
    let mut file = File::create(&path)?;
    let begun = Instant::now();
    for _ in 0..PROBES {
        file.write_all(b"x")?;
        file.sync_data()?;
    }
    let took = begun.elapsed();
    fs::remove_file(path)?;
    Ok(took.as_secs_f64() * 1e6 / f64::from(PROBES))
}

fn connect_us() -> anyhow::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let begun = Instant::now();
    for _ in 0..PROBES {
        let client = TcpStream::connect(address)?;
        drop(listener.accept()?);
        drop(client);
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6 / f64::from(PROBES))
}
