//! The header x-forwarded-client-cert, in which a proxy tells of its client's certificate.

use super::source::PeerPart;

/// What the header says of the client of the nearest proxy: the last element, which that proxy added.
///
/// `None` if it says nothing of it, or is malformed, or says it more than once.
pub fn peer(header: &str, part: PeerPart) -> Option<String> {
    let fields = last_element(header)?;
    let all = |name: &str| {
        let named = fields
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
            .collect::<Vec<_>>()
    };
    let first = |name: &str| all(name).first().map(|&value| value.to_owned());
    let get = |name: &str| match all(name).as_slice() {
        [value] => Some((*value).to_owned()),
        _ => None,
    };
    match part {
        // Certificates have several names; the first is the one that Envoy takes as well.
        PeerPart::Identity => first("URI")
            .or_else(|| first("DNS"))
            .or_else(|| get("Subject")),
        PeerPart::Uri => get("URI"),
        PeerPart::Dns => get("DNS"),
        PeerPart::Subject => get("Subject"),
    }
}

/// The pairs of the last element; elements are between commas, pairs between semicolons, and what is
/// quoted is neither.
fn last_element(header: &str) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    let mut chars = header.chars();
    loop {
        let mut key = String::new();
        loop {
            match chars.next()? {
                '=' => break,
                ',' | ';' | '"' => return None,
                c => key.push(c),
            }
        }
        let (mut value, mut quoted) = (String::new(), false);
        let end = loop {
            match chars.next() {
                None if quoted => return None,
                Some('\\') if quoted => value.push(chars.next()?),
                Some('"') if quoted || value.is_empty() => quoted = !quoted,
                Some('"') => return None,
                end @ (None | Some(',' | ';')) if !quoted => break end,
                Some(c) => value.push(c),
                None => return None,
            }
        };
        fields.push((key.trim().to_owned(), value));
        match end {
            None => return Some(fields),
            Some(',') => fields.clear(),
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "By=spiffe://x/gw;Hash=aa;URI=spiffe://x/evil,\
        By=spiffe://x/gw2;Hash=bb;Subject=\"CN=ann,OU=\\\"a;b\\\"\";URI=spiffe://x/ann;DNS=a;DNS=b";

    #[test]
    fn the_nearest_proxy_is_believed() {
        assert_eq!(peer(TWO, PeerPart::Uri).as_deref(), Some("spiffe://x/ann"));
        assert_eq!(
            peer(TWO, PeerPart::Identity).as_deref(),
            Some("spiffe://x/ann")
        );
        let subject = "CN=ann,OU=\"a;b\"";
        assert_eq!(peer(TWO, PeerPart::Subject).as_deref(), Some(subject));
        // Which of two names it is nobody can say.
        assert_eq!(peer(TWO, PeerPart::Dns), None);
    }

    #[test]
    fn the_identity_is_what_there_is() {
        assert_eq!(
            peer("Hash=a;DNS=a.b;DNS=c", PeerPart::Identity).as_deref(),
            Some("a.b")
        );
        assert_eq!(
            peer("Subject=\"CN=x\"", PeerPart::Identity).as_deref(),
            Some("CN=x")
        );
        assert_eq!(peer("Hash=a", PeerPart::Identity), None);
        // The client of the nearest proxy had no certificate with a name.
        assert_eq!(peer("URI=spiffe://x/a,Hash=b", PeerPart::Identity), None);
    }

    #[test]
    fn what_is_malformed_says_nothing() {
        for bad in [
            "",
            ",",
            "URI",
            "URI=spiffe://x/a,",
            "URI=a;",
            "URI=\"a",
            "URI=\"a\\",
            "Subject=a\"b",
            "=;",
            "a,b",
        ] {
            assert_eq!(peer(bad, PeerPart::Uri), None, "{bad}");
        }
    }
}
