//! Pictures of what was measured, as SVG.

use plotters::prelude::*;

use super::report::Report;

const SIZE: (u32, u32) = (840, 460);
const COLOURS: [RGBColor; 4] =
    [RGBColor(31, 119, 180), RGBColor(214, 39, 40), RGBColor(44, 160, 44), RGBColor(127, 127, 127)];

/// A line: its name, and its points.
type Series = (&'static str, Vec<(f64, f64)>);

/// Latency by the rate that was offered.
pub(super) fn latency_by_load(loads: &[Report]) -> Result<String, String> {
    let line = |figure: fn(&Report) -> f64| points(loads, figure);
    let series = [
        ("p50", line(|report| report.latency_p50_ms)),
        ("p99", line(|report| report.latency_p99_ms)),
        ("max", line(|report| report.latency_max_ms)),
    ];
    drawn("latency in ms, by sagas a second", &series)
}

/// CPU seconds per 1,000 sagas by the rate that was offered: small batches cost more.
pub(super) fn cpu_by_load(loads: &[Report]) -> Result<String, String> {
    let line = |figure: fn(&Report) -> f64| points(loads, figure);
    let series = [
        ("engine", line(|report| report.engine_cpu)),
        ("postgres", line(|report| report.postgres_cpu)),
        ("broker", line(|report| report.broker_cpu)),
        ("services", line(|report| report.participants_cpu)),
    ];
    drawn("CPU seconds per 1,000 sagas, by sagas a second", &series)
}

fn points(loads: &[Report], figure: fn(&Report) -> f64) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> =
        loads.iter().filter_map(|report| Some((report.offered_per_second?, figure(report)))).collect();
    points.sort_by(|one, other| one.0.total_cmp(&other.0));
    points
}

/// Both axes are logarithmic where values are: latencies and costs span orders of magnitude.
fn drawn(caption: &str, series: &[Series]) -> Result<String, String> {
    let all = || series.iter().flat_map(|(_, points)| points);
    // Finite also without a point: the axes would be drawn for ever.
    let least = |values: &mut dyn Iterator<Item = f64>| values.fold(1e6, f64::min).max(1e-4);
    let most = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max).max(1e-3);
    let across = 0.0..most(&mut all().map(|point| point.0)) * 1.05;
    let low = least(&mut all().map(|point| point.1));
    let up = low * 0.8..most(&mut all().map(|point| point.1)).max(low) * 1.3;
    let mut text = String::new();
    draw(&mut text, caption, series, (across, up)).map_err(|error| error.to_string())?;
    Ok(text)
}

type Ranges = (std::ops::Range<f64>, std::ops::Range<f64>);

fn draw(
    text: &mut String,
    caption: &str,
    series: &[Series],
    (across, up): Ranges,
) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(caption, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(across, up.log_scale())?;
    chart.configure_mesh().light_line_style(WHITE).draw()?;
    for ((name, points), colour) in series.iter().zip(COLOURS) {
        let swatch = move |(x, y)| PathElement::new(vec![(x, y), (x + 20, y)], colour.stroke_width(2));
        chart
            .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(3))?
            .label(*name)
            .legend(swatch);
    }
    chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw()?;
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_a_line_and_a_name_for_each_series() {
        let series = [("p50", vec![(100.0, 4.0), (900.0, 40.0)]), ("p99", vec![(100.0, 9.0), (900.0, 250.0)])];
        let text = drawn("latency", &series).unwrap();
        assert!(text.starts_with("<svg") && text.matches("<polyline").count() >= 2, "{text}");
        assert!(["latency", "p50", "p99"].iter().all(|name| text.contains(name)));
        assert!(drawn("nothing", &[]).is_ok(), "no load was measured");
    }
}
