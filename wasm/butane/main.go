//go:build js && wasm

// Command butane offers Butane and the Ignition validator to the JavaScript that started it. The host puts an object
// named "butane" into the global scope; main adds the functions and the version to it and then waits for calls.
//
// Calls are synchronous. That works because the host's file system answers at once: a file system that called back
// later would wait for a call that waits for it.
package main

import (
	"encoding/json"
	"fmt"
	"runtime/debug"
	"syscall/js"

	"github.com/coreos/butane/config"
	"github.com/coreos/butane/config/common"
	ignition "github.com/coreos/ignition/v2/config"
	"github.com/coreos/vcontext/report"
)

const butaneModule = "github.com/coreos/butane"

// entry is one line of a report as the host reads it; line and column count from 1, and 0 is unknown.
type entry struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
	Path    string `json:"path"`
	Line    int64  `json:"line"`
	Column  int64  `json:"column"`
}

// answer is what every call gives back. Error is the reason why there is no result; Panic that a bug is the reason.
type answer struct {
	Entries []entry `json:"entries"`
	Error   string  `json:"error"`
	Panic   bool    `json:"panic"`
}

func main() {
	host := js.Global().Get("butane")
	host.Set("version", moduleVersion(butaneModule))
	host.Set("compile", export(compile))
	host.Set("validate", export(validate))
	select {}
}

// compile translates args[0] (Uint8Array, a Butane config) with local files from the folder args[1]; args[2] makes the
// result pretty. The result is what the command `butane` writes, whose last newline the library lacks.
func compile(args []js.Value) ([]byte, report.Report, error) {
	options := common.TranslateBytesOptions{Pretty: args[2].Bool()}
	options.FilesDir = args[1].String()
	result, entries, err := config.TranslateBytes(bytesOf(args[0]), options)
	if err != nil {
		return nil, entries, err
	}
	return append(result, '\n'), entries, nil
}

// validate checks args[0] (Uint8Array, an Ignition config of any supported version).
func validate(args []js.Value) ([]byte, report.Report, error) {
	_, entries, err := ignition.Parse(bytesOf(args[0]))
	return nil, entries, err
}

// export makes a function callable from JavaScript: it returns an object with the result (Uint8Array or null) and the
// answer as JSON. A panic becomes an error of that call.
func export(call func([]js.Value) ([]byte, report.Report, error)) js.Func {
	return js.FuncOf(func(_ js.Value, args []js.Value) (returned any) {
		defer func() {
			if reason := recover(); reason != nil {
				returned = pack(nil, answer{Error: fmt.Sprint(reason), Panic: true})
			}
		}()
		result, entries, err := call(args)
		told := answer{Entries: entriesOf(entries)}
		if err != nil {
			told.Error = err.Error()
		}
		return pack(result, told)
	})
}

func entriesOf(r report.Report) []entry {
	entries := make([]entry, 0, len(r.Entries))
	for _, e := range r.Entries {
		told := entry{Kind: e.Kind.String(), Message: e.Message}
		if e.Context.Len() > 0 {
			told.Path = e.Context.String()
		}
		if start := e.Marker.StartP; start != nil {
			told.Line, told.Column = start.Line, start.Column
		}
		entries = append(entries, told)
	}
	return entries
}

func pack(result []byte, told answer) any {
	text, err := json.Marshal(told)
	if err != nil {
		panic(err)
	}
	packed := map[string]any{"answer": string(text), "result": nil}
	if result != nil {
		array := js.Global().Get("Uint8Array").New(len(result))
		js.CopyBytesToJS(array, result)
		packed["result"] = array
	}
	return packed
}

func bytesOf(array js.Value) []byte {
	bytes := make([]byte, array.Length())
	js.CopyBytesToGo(bytes, array)
	return bytes
}

// moduleVersion is the version of a module that this program was built with, as go.mod pins it.
func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, dependency := range info.Deps {
		if dependency.Path == path {
			return dependency.Version
		}
	}
	return ""
}
