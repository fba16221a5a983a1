use proptest::prelude::*;

use super::*;

fn utc(text: &str) -> Result<Cron, CronError> {
    Cron::new(text, Zone::utc())
}

fn in_zone(text: &str, zone: &str) -> Cron {
    Cron::new(text, Zone::named(zone).unwrap()).unwrap()
}

/// Field and column of the refusal.
fn refused(text: &str) -> (Field, usize) {
    let error = utc(text).expect_err(text);
    (error.field().unwrap_or_else(|| panic!("{text:?}: {error}")), error.column().unwrap())
}

#[test]
fn refusals_name_field_and_column() {
    use Field::*;
    let cases = [
        ("60 * * * *", Minute, 1),
        ("  -1 * * * *", Minute, 3),
        ("*/x * * * *", Minute, 3),
        ("1,,2 * * * *", Minute, 3),
        ("1, * * * *", Minute, 3),
        (",1 * * * *", Minute, 1),
        ("* b * * *", Hour, 3),
        ("* 24 * * *", Hour, 3),
        ("0 0 0-5 * *", DayOfMonth, 5),
        ("0 0 5-0 * *", DayOfMonth, 7),
        ("0 0 9-5 * *", DayOfMonth, 5),
        ("0 0 32 * *", DayOfMonth, 5),
        ("0 0 32W * *", DayOfMonth, 5),
        ("0 0 W * *", DayOfMonth, 5),
        ("0 0 1-5W * *", DayOfMonth, 5),
        ("0 0 L/2 * *", DayOfMonth, 5),
        ("0 0 L-3 * *", DayOfMonth, 5),
        ("0 0 1,? * *", DayOfMonth, 7),
        ("0 0 MON * *", DayOfMonth, 5),
        ("0 0 * 13 *", Month, 7),
        ("0 0 * 0 *", Month, 7),
        ("0 0 * MON *", Month, 7),
        ("0 0 * JANUARY *", Month, 7),
        ("0 0 * L *", Month, 7),
        ("0 0 * ? *", Month, 7),
        ("0 0 * * 8", DayOfWeek, 9),
        ("0 0 * * #2", DayOfWeek, 9),
        ("0 0 * * 1#", DayOfWeek, 11),
        ("0 0 * * 1#0", DayOfWeek, 11),
        ("0 0 * * 1#6", DayOfWeek, 11),
        ("0 0 * * 1#2#3", DayOfWeek, 11),
        ("0 0 * * 1-5#2", DayOfWeek, 9),
        ("0 0 * * L", DayOfWeek, 9),
        ("0 0 * * 1W", DayOfWeek, 9),
        ("0 0 * * JAN", DayOfWeek, 9),
        ("0 0 * * 1,JUL", DayOfWeek, 11),
        ("0 0 * * SAT-MON", DayOfWeek, 9),
        ("0 0 * * 5-0", DayOfWeek, 9),
        ("? 0 * * *", Minute, 1),
        ("*/0 * * * *", Minute, 3),
        ("*/60 * * * *", Minute, 3),
        ("0 */24 * * *", Hour, 5),
        ("0 0 */32 * *", DayOfMonth, 7),
        ("0 0 * */13 *", Month, 9),
        ("0 0 * * */8", DayOfWeek, 11),
        ("*/ * * * *", Minute, 3),
        ("/5 * * * *", Minute, 1),
        ("*/5/2 * * * *", Minute, 3),
        ("** * * * *", Minute, 1),
        ("*-5 * * * *", Minute, 1),
        ("1- * * * *", Minute, 3),
        ("1-2-3 * * * *", Minute, 3),
        ("+1 * * * *", Minute, 1),
        ("1.5 * * * *", Minute, 1),
        ("99999999999999999999 * * * *", Minute, 1),
        ("60 0 0 * * *", Second, 1),
        ("0 0 0 * * * 1969", Year, 13),
        ("0 0 0 * * * 2200", Year, 13),
        ("0 0 0 * * * */230", Year, 15),
        ("0 0 0 * * * ?", Year, 13),
    ];
    for (text, field, column) in cases {
        assert_eq!(refused(text), (field, column), "{text}");
    }
}

#[test]
fn refusals_say_what_was_given_and_what_is_allowed() {
    let said = |text: &str| utc(text).unwrap_err().to_string();
    assert_eq!(
        said("0 0 * MON *"),
        "month field of the cron expression, column 7: \"MON\" is a day of the week; it belongs in the \
         day-of-week field"
    );
    assert_eq!(said("60 * * * *"), "minute field of the cron expression, column 1: 60 is outside of 0 to 59");
    assert_eq!(
        said("*/99 * * * *"),
        "minute field of the cron expression, column 3: \"99\" is not a step; allowed are 1 to 59"
    );
    assert_eq!(said("0 0 30 2 *"), "the cron expression can never fire: \"0 0 30 2 *\" in UTC");
}

#[test]
fn refusals_of_the_whole() {
    assert_eq!(utc(""), Err(CronError::Empty));
    assert_eq!(utc(" \t "), Err(CronError::Empty));
    assert_eq!(utc("* * * *"), Err(CronError::FieldCount { count: 4 }));
    assert_eq!(utc("* * * * * * * *"), Err(CronError::FieldCount { count: 8 }));
    assert_eq!(utc("@reboot").unwrap_err().column(), Some(1));
    assert_eq!(utc("@daily 5"), Err(CronError::FieldCount { count: 2 }));
    assert_eq!(utc("0 0 * * \u{2a0}"), Err(CronError::NotAscii { column: 9 }));
    assert_eq!(utc(&"*".repeat(10_000)), Err(CronError::TooLong { length: 10_000 }));
    let longest = format!("{:>256}", "* * * * *");
    assert!(utc(&longest).is_ok());
    assert_eq!(utc(&format!(" {longest}")), Err(CronError::TooLong { length: 257 }));
}

#[test]
fn what_can_never_fire_is_refused() {
    let never = [
        "0 0 30 2 *",
        "0 0 31 2,4,6,9,11 *",
        "0 0 30W 2 *",
        "0 0 0 29 2 * 2026,2027,2100",
        "0 0 0 * 2 1#5 2027",
        "0 0 */31 2 1#5",
        "0 0 */15 * 2#2",
    ];
    for text in never {
        assert!(matches!(utc(text), Err(CronError::NeverFires { .. })), "{text}");
    }
    // Elapsed time has no 2 o'clock on that day, and no 30 December in that year.
    for (text, zone) in [("0 * 2 8 3 * 2026", "America/New_York"), ("0 * * 30 12 * 2011", "Pacific/Apia")] {
        assert!(utc(text).is_ok(), "{text}");
        let refusal = Cron::new(text, Zone::named(zone).unwrap());
        assert!(matches!(refusal, Err(CronError::NeverFires { .. })), "{text}");
    }
    for text in ["0 0 29 2 *", "0 0 30 2 1", "0 0 */28 2 1#5", "0 0 0 29 2 * 2024", "0 0 LW * *"] {
        assert!(utc(text).is_ok(), "{text}");
    }
}

#[test]
fn spellings_of_the_same() {
    let same = [
        ("0 0 * * SUN", "0 0 * * 7"),
        ("0 0 * * fri-SUN", "0 0 * * 0,5,6"),
        ("0 0 * * 5-7", "0 0 * * 0,5,6"),
        ("0 0 * * SUN-TUE", "0 0 * * 0-2"),
        ("0 0 * jan-Mar,deC *", "0 0 * 1-3,12 *"),
        ("5/20 * * * *", "5,25,45 * * * *"),
        ("0 0 ? * 1", "0 0 * * mon"),
        ("0 0 lw,15w * *", "0 0 15W,LW * *"),
        ("0 0 * * fril,0#1", "0 0 * * SUN#1,5L"),
        ("@midnight", "@Daily"),
        ("@annually", "0 0 1 1 *"),
        ("0 0 0 * * * *", "0 0 * * *"),
    ];
    for (one, other) in same {
        assert_eq!(utc(one).unwrap().calendar, utc(other).unwrap().calendar, "{one} and {other}");
    }
}

#[test]
fn a_star_in_a_field_of_days_joins_by_and() {
    let days = |text: &str| -> Vec<u64> {
        let first = 1_767_225_600_000; // 2026-01-01, a Thursday
        utc(text)
            .unwrap()
            .after(first - 1)
            .map(|slot| (slot - first) / 86_400_000 + 1)
            .take_while(|day| *day <= 31)
            .collect()
    };
    assert_eq!(days("0 0 13 * 5"), [2, 9, 13, 16, 23, 30]);
    assert_eq!(days("0 0 */2 * 5"), [9, 23]);
    assert_eq!(days("0 0 13 * */5"), [0; 0]);
    assert_eq!(days("0 0 1W,31W * *"), [1, 30]);
    assert_eq!(days("0 0 L,LW * *"), [30, 31]);
    assert_eq!(days("0 0 * * 4#5,4L,3#5"), [29]);
}

#[test]
fn a_whole_day_that_a_zone_left_out() {
    // Friday 30 December 2011 did not exist in Apia: midnight after the 29th was that of the 31st.
    let gap_end = 1_325_239_200_000;
    let day = 86_400_000;
    assert_eq!(in_zone("0 12 30 12 *", "Pacific/Apia").next(gap_end - 9 * day), Some(gap_end));
    assert_eq!(
        in_zone("0 12 * * *", "Pacific/Apia").preview(gap_end - day, 3),
        [gap_end - day / 2, gap_end, gap_end + day / 2]
    );
    assert_eq!(
        in_zone("* 12 * * *", "Pacific/Apia").next(gap_end - day / 2 + 3_600_000),
        Some(gap_end + day / 2)
    );
    assert_eq!(in_zone("0 12 * * *", "Pacific/Apia").previous(gap_end + 1), Some(gap_end));
    assert_eq!(in_zone("0 12 * * *", "Pacific/Apia").previous(gap_end), Some(gap_end - day / 2));
}

#[test]
fn the_ends_of_time() {
    let cron = utc("* * * * * *").unwrap();
    assert_eq!(cron.previous(0), None);
    assert_eq!(cron.previous(1), Some(0));
    assert_eq!(cron.previous(1000), Some(0));
    assert_eq!(cron.previous(1001), Some(1000));
    assert_eq!(cron.next(0), Some(1000));
    assert_eq!(cron.next(999), Some(1000));
    assert_eq!(cron.next(u64::MAX), None);
    let last = (END as u64 - 1) * 1000;
    assert_eq!(cron.next(last - 1), Some(last));
    assert_eq!(cron.next(last), None);
    assert_eq!(cron.previous(u64::MAX), Some(last));
    let once = utc("0 0 0 1 1 * 2030").unwrap();
    assert_eq!(once.preview(0, 9).len(), 1);
    assert_eq!(once.next(4_000_000_000_000), None);
    assert_eq!(once.previous(u64::MAX), once.next(0));
    for zone in ["Pacific/Kiritimati", "Pacific/Niue"] {
        let cron = in_zone("0 0 * * *", zone);
        assert_eq!(cron.previous(0), None);
        assert!(cron.next(0).unwrap() < 86_400_000);
        assert_eq!(cron.previous(cron.next(0).unwrap() + 1), cron.next(0));
    }
}

#[test]
fn the_stored_form_is_read_again() {
    let cron = in_zone("0 3 * * *", "europe/berlin");
    let text = serde_json::to_string(&cron).unwrap();
    assert_eq!(text, r#"{"cron":"0 3 * * *","timeZone":"Europe/Berlin"}"#);
    assert_eq!(serde_json::from_str::<Cron>(&text).unwrap(), cron);
    let wrong = serde_json::from_str::<Cron>(r#"{"cron":"0 0 30 2 *","timeZone":"UTC"}"#);
    assert!(wrong.unwrap_err().to_string().contains("can never fire"));
}

/// The most steps that one answer takes, from many instants.
fn most_steps(cron: &Cron) -> u32 {
    let instants = (0..60).map(|n| n * 4 * 31_556_952);
    let searches = instants.flat_map(|at| {
        let (mut forth, mut back) = (cron.search(), cron.search());
        forth.next(at);
        back.previous(at);
        [forth.steps, back.steps]
    });
    searches.max().unwrap()
}

#[test]
fn hostile_expressions_take_a_bounded_number_of_steps() {
    // Dates that come once in 28 or 40 years, years that are over, and one whose only hour is in the gap of
    // every year since 2007.
    let rare = [
        "0 0 */28 2 1#5",
        "0 0 29 2 *",
        "0 0 */29 2-12/2 ?",
        "0 0 0 1 1 * 1970",
        "59 59 23 31 12 * 2199",
        "0 0 0 29 2 0#5 2000",
        "* * */31 2-3 */6",
    ];
    for text in rare {
        for zone in ["UTC", "America/New_York", "Africa/Casablanca", "Pacific/Apia"] {
            let steps = most_steps(&in_zone(text, zone));
            assert!(steps <= 2000, "{text} in {zone}: {steps} steps");
        }
    }
    let gone = in_zone("* 2 * 3 0#2", "America/New_York");
    assert_eq!(gone.next(1_784_000_000_000), None);
    let steps = most_steps(&gone);
    assert!((500..=5000).contains(&steps), "{steps} steps");
}

proptest! {
    #[test]
    fn no_text_is_a_panic_or_a_long_search(text in "[-0-9*/,?#LWlwA-FMNOSU@ ]{0,40}", at: u64) {
        if let Ok(cron) = utc(&text) {
            cron.next(at);
            cron.previous(at);
        }
    }

    #[test]
    fn nearly_right_text_takes_a_bounded_number_of_steps(
        fields in prop::collection::vec("(\\*|[0-9]{1,2}|\\*/[0-9]|[1-7]#[1-5]|[1-7]L|L|LW|[1-9]W|[1-3]-[2-9])(,[0-9]{1,2})?", 5..=6),
        zone in prop::sample::select(vec!["UTC", "America/New_York", "Africa/Cairo"]),
    ) {
        let text = fields.join(" ");
        if let Ok(cron) = Cron::new(&text, Zone::named(zone).unwrap()) {
            let steps = most_steps(&cron);
            prop_assert!(steps <= 5000, "{} in {}: {} steps", text, zone, steps);
        }
    }
}
