//! Makes a plan, shows it, and applies it: `plan_then_apply FROM TO`.

#![allow(clippy::print_stdout, reason = "an example")]

#[tokio::main]
async fn main() -> Result<(), ketch::Error> {
    let mut arguments = std::env::args().skip(1);
    let (Some(from), Some(to)) = (arguments.next(), arguments.next()) else {
        println!("usage: plan_then_apply FROM TO");
        return Ok(());
    };
    let (from, to) = (ketch::local(from)?, ketch::local(to)?);
    let file = std::env::temp_dir().join(format!("ketch-plan-{}", std::process::id()));
    let totals = ketch::sync(from.clone(), to.clone()).plan(&file).await?;
    println!("{} files to copy, {} deletions", totals.copies, totals.deletions);
    let mut plan = ketch::PlanFile::open(&file)?;
    plan.for_each(|planned| {
        println!("{:<10} {}", planned.word(), planned.path());
        Ok(())
    })?;
    // A file that changed since, at either side, is left alone, and the report says so.
    let report = ketch::apply(plan, from, to).run().await?;
    println!("done: {} copied, {} deleted", report.copied, report.deleted);
    Ok(())
}
