use cedar_policy::*;
use cedarjit::*;
use std::collections::*;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    for dir in &args[1..] {
        let rd = |f: &str| std::fs::read_to_string(format!("{dir}/{f}"));
        let schema = Schema::from_json_str(&rd("cedarschema.json").unwrap()).unwrap();
        let mut ps: PolicySet = rd("policies.cedar").unwrap().parse().unwrap();
        if let Ok(l) = rd("links.json") {
            let l: serde_json::Value = serde_json::from_str(&l).unwrap();
            for k in l.as_array().unwrap() {
                let mut m = HashMap::new();
                for (s, u) in k["args"].as_object().unwrap() {
                    m.insert(
                        if s == "?principal" {
                            SlotId::principal()
                        } else {
                            SlotId::resource()
                        },
                        u.as_str().unwrap().parse().unwrap(),
                    );
                }
                ps.link(
                    PolicyId::new(k["template_id"].as_str().unwrap()),
                    PolicyId::new(k["link_id"].as_str().unwrap()),
                    m,
                )
                .unwrap();
            }
        }
        let t = std::time::Instant::now();
        let entities =
            Entities::from_json_str(&rd("entities.json").unwrap(), Some(&schema)).unwrap();
        let t1 = t.elapsed();
        let t = std::time::Instant::now();
        let engine = Engine::builder()
            .policies(&ps)
            .entities(entities.clone())
            .build()
            .unwrap();
        let t2 = t.elapsed();
        let snap = engine.snapshot();
        let mut scratch = Scratch::default();
        let mut bad = 0;
        let mut n = 0;
        let mut bound = vec![];
        let mut reqs = vec![];
        for line in rd("requests.jsonl").unwrap().lines() {
            let v: serde_json::Value = serde_json::from_str(line).unwrap();
            let s = |k: &str| v[k].as_str().unwrap().to_string();
            let r = Request::new(
                s("principal").parse().unwrap(),
                s("action").parse().unwrap(),
                s("resource").parse().unwrap(),
                Context::from_json_value(v["context"].clone(), None).unwrap(),
                None,
            )
            .unwrap();
            let b = snap.bind(&r).unwrap();
            for native in [true, false] {
                let e = if native {
                    b.evaluate(&mut scratch)
                } else {
                    b.interpret(&mut scratch)
                };
                let mut reasons: Vec<_> = e.reasons().map(|s| s.to_string()).collect();
                reasons.sort();
                let mut errors: Vec<_> = e
                    .errors()
                    .map(|(p, e)| (p.to_string(), e.to_string()))
                    .collect();
                errors.sort();
                let d = if e.decision() == Decision::Allow {
                    "allow"
                } else {
                    "deny"
                };
                let wr: Vec<String> = v["reason"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|x| x.as_str().unwrap().to_string())
                    .collect();
                let we: Vec<(String, String)> = v["errors"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|x| {
                        (
                            x["policy"].as_str().unwrap().to_string(),
                            x["error"].as_str().unwrap().to_string(),
                        )
                    })
                    .collect();
                if d != s("decision") || reasons != wr || errors != we {
                    bad += 1;
                    if bad < 4 {
                        println!("{native} {line}\n {d} {reasons:?} {errors:?}");
                    }
                }
            }
            n += 1;
            bound.push(b);
            reqs.push(r);
        }
        let mut best = f64::MAX;
        for _ in 0..std::env::var("PASSES").map_or(200, |v| v.parse().unwrap()) {
            let t = std::time::Instant::now();
            for b in &bound {
                std::hint::black_box(b.evaluate(&mut scratch));
            }
            best = best.min(t.elapsed().as_nanos() as f64 / bound.len() as f64);
        }
        let auth = Authorizer::new();
        let mut bestc = f64::MAX;
        for _ in 0..std::env::var("CPASSES").map_or(3, |v| v.parse().unwrap()) {
            let t = std::time::Instant::now();
            for r in reqs.iter().take(300) {
                std::hint::black_box(auth.is_authorized(r, &ps, &entities));
            }
            bestc = bestc.min(t.elapsed().as_nanos() as f64 / reqs.len().min(300) as f64);
        }
        println!(
            "{dir}: {n} requests, {bad} bad; {best:.1} ns native, {bestc:.0} ns cedar, ratio {:.0}; {:?} parse {t1:?} build {t2:?}",
            bestc / best,
            engine.stats()
        );
    }
}
