use super::*;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
}

#[test]
fn a_cookie_is_found_among_others() {
    let name = CookieName::new("s").unwrap();
    let all = headers(&[("cookie", "ss=1; s=2; t=s=3")]);
    assert_eq!(cookie(&all, &name), Some(&b"2"[..]));
    assert_eq!(cookie(&headers(&[("cookie", "ss=1")]), &name), None);
}

#[test]
fn the_client_is_whoever_came_first() {
    let all = headers(&[("x-forwarded-for", "10.0.0.1 , 10.0.0.2")]);
    assert_eq!(client(&all), Some(&b"10.0.0.1"[..]));
    assert_eq!(client(&HeaderMap::new()), None);
}

#[test]
fn a_client_without_a_cookie_is_given_one_that_leads_to_the_same_place() {
    let name = CookieName::new("session").unwrap();
    let first = Affinity::begin(&name, Some(Duration::from_secs(60)));
    let (found, mut response) = (first.key, HeaderMap::new());
    first.mark(&mut response);
    let set = response.get(SET_COOKIE).unwrap().to_str().unwrap();
    assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=60"), "{set}");
    let pair: &'static str = set.split(';').next().unwrap().to_owned().leak();
    assert_eq!(cookie(&headers(&[("cookie", pair)]), &name).map(key), found);
}
