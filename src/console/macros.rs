//! `print!` and its relatives for this crate, in place of the standard library's: see `console`.

macro_rules! print {
    ($($text:tt)*) => { $crate::console::print(::std::format_args!($($text)*)) };
}

macro_rules! println {
    () => { $crate::console::print(::std::format_args!("\n")) };
    ($($text:tt)*) => { $crate::console::print(::std::format_args!("{}\n", ::std::format_args!($($text)*))) };
}

macro_rules! eprint {
    ($($text:tt)*) => { $crate::console::print_error(::std::format_args!($($text)*)) };
}

macro_rules! eprintln {
    () => { $crate::console::print_error(::std::format_args!("\n")) };
    ($($text:tt)*) => { $crate::console::print_error(::std::format_args!("{}\n", ::std::format_args!($($text)*))) };
}
