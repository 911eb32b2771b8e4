package store_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"strings"
	"testing"
)

// runners are the functions that run a statement, with the place of its text.
var runners = map[string]int{
	"exec": 1, "query": 1, "queryRow": 1, "readEvents": 1, "readMessages": 1,
	"ExecContext": 1, "QueryContext": 1, "QueryRowContext": 1, "PrepareContext": 1,
}

// dynamic are the functions that take their statements from a list of constants, or name
// in them tables and columns of our own schema, and why. No text of a user is in any.
var dynamic = map[string]string{
	"copyTable":    "reads the tables of the list backedUp",
	"restoreTable": "fills them again",
	"emptyTables":  "empties them before",
	"afterRestore": "sets the sequences of the list identities",
	"ForgetPerson": "runs the list forgetting",
	"Sweep":        "runs three constants in turn",
	"index":        "runs what Index and Unindex, which are looked at, held back",
}

// Statements are constants, so that nothing anybody says can become part of one.
func TestS30_StatementsAreConstant(t *testing.T) {
	fset := token.NewFileSet()
	packages, err := parser.ParseDir(fset, ".", func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }, 0)
	if err != nil {
		t.Fatal(err)
	}
	files := packages["store"].Files
	constants := map[string]bool{}
	for _, file := range files {
		for _, decl := range file.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.CONST {
				continue
			}
			for _, spec := range gen.Specs {
				for _, name := range spec.(*ast.ValueSpec).Names {
					constants[name.Name] = true
				}
			}
		}
	}
	checked := 0
	for _, file := range files {
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			if dynamic[fn.Name.Name] != "" {
				continue
			}
			passed := parameters(fn)
			local := constantsOf(fn, constants)
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				name := ""
				switch f := call.Fun.(type) {
				case *ast.SelectorExpr:
					name = f.Sel.Name
				case *ast.Ident:
					name = f.Name
				}
				at, ok := runners[name]
				if !ok || len(call.Args) <= at {
					return true
				}
				checked++
				if !constant(call.Args[at], constants, local) && !isParameter(call.Args[at], passed) {
					t.Errorf("%s: %s runs a statement that is no constant", fset.Position(call.Pos()), fn.Name.Name)
				}
				return true
			})
		}
	}
	if checked < 200 {
		t.Errorf("only %d statements were looked at", checked)
	}
}

// parameters are the names of a function's parameters: who calls it is looked at itself.
func parameters(fn *ast.FuncDecl) map[string]bool {
	names := map[string]bool{}
	ast.Inspect(fn, func(n ast.Node) bool {
		if f, ok := n.(*ast.FuncType); ok {
			for _, field := range f.Params.List {
				for _, name := range field.Names {
					names[name.Name] = true
				}
			}
		}
		return true
	})
	return names
}

func isParameter(e ast.Expr, names map[string]bool) bool {
	id, ok := e.(*ast.Ident)
	return ok && names[id.Name]
}

// constantsOf are the local variables of a function that only ever hold constants.
func constantsOf(fn *ast.FuncDecl, constants map[string]bool) map[string]bool {
	good, bad := map[string]bool{}, map[string]bool{}
	note := func(name string, value ast.Expr) {
		if constant(value, constants, good) {
			good[name] = true
		} else {
			bad[name] = true
		}
	}
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if len(n.Lhs) == len(n.Rhs) {
				for i := range n.Lhs {
					if id, ok := n.Lhs[i].(*ast.Ident); ok {
						note(id.Name, n.Rhs[i])
					}
				}
			}
		case *ast.GenDecl:
			if n.Tok == token.CONST {
				for _, spec := range n.Specs {
					for _, name := range spec.(*ast.ValueSpec).Names {
						good[name.Name] = true
					}
				}
			}
		case *ast.RangeStmt:
			id, ok := n.Value.(*ast.Ident)
			list, isList := n.X.(*ast.CompositeLit)
			if ok && isList {
				for _, element := range list.Elts {
					note(id.Name, element)
				}
			}
		}
		return true
	})
	for name := range bad {
		delete(good, name)
	}
	return good
}

// constant tells whether an expression is made of constants alone.
func constant(e ast.Expr, constants, local map[string]bool) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return true
	case *ast.Ident:
		return constants[e.Name] || local[e.Name]
	case *ast.BinaryExpr:
		return constant(e.X, constants, local) && constant(e.Y, constants, local)
	case *ast.ParenExpr:
		return constant(e.X, constants, local)
	case *ast.CallExpr: // the choice of a dialect, and a planted mistake
		name := ""
		switch f := e.Fun.(type) {
		case *ast.SelectorExpr:
			name = f.Sel.Name
		case *ast.Ident:
			name = f.Name
		}
		if name != "text" && name != "mistakenlyInserted" {
			return false
		}
		for _, arg := range e.Args {
			if !constant(arg, constants, local) {
				return false
			}
		}
		return true
	}
	return false
}
